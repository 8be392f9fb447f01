//! The plugin host against real components and a real TLS server: what works, what is refused, and what misbehaviour costs.

mod beside;
mod cutover;
mod misbehaviour;
mod server;
mod setup;
mod sink;
mod source;
mod trust;
