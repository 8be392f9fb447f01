//! The plugin host against real components and a real TLS server: what works, what is refused, and what misbehaviour costs.

use boundary::{server, setup};

mod cutover;
mod misbehaviour;
mod sink;
mod source;
mod trust;
