//! What a Transload plugin in Rust is written with.
//!
//! ```text
//!   a plugin ──▶ Sink, Source or Cutover ◀── export_sink!, export_source!, export_cutover! ◀── host calls
//!      │
//!      └───────▶ ports (Http, Sessions, Secrets, Clock …) ──▶ Imports ──▶ generated bindings ──▶ host
//!                  ▲
//!                  └── native tests script them
//! ```
//!
//! A plugin implements the trait of its kind and exports itself with one line; [`sink`], [`source`] and [`cutover`] each begin with a whole
//! one. Everything is in plain words of Rust. What the contract promises stands in its `.wit` files, under the same words.
//!
//! Beside that here is what more than one plugin needs, and nothing that decides anything for it:
//!
//! - [`fault`]: why a call did not do what was asked. The host retries by the kind; a guest never sleeps.
//! - [`logins`]: one login for all instances, renewed once when it has ended. [`shared`]: values that instances change together.
//! - [`paging`]: pages out of a list, and a list out of a server's pages.
//! - [`store`]: bodies that stay in the host. [`endpoint`], [`percent`], [`words`], and with features [`xml`] and [`clocks`]: small codecs.
//!
//! These imports have no plain words yet: `log`, `files`, `readers` and `bulk.gather`. A plugin calls the generated ones, such as
//! `transload_guest::bindings::transload::plugin::log::write`; `?` takes their faults too.
//!
//! It compiles for the machine that tests run on as well: the imports then lead nowhere, and a plugin's own logic is tried with scripted
//! ports.

#[cfg(feature = "clocks")]
pub mod clocks;
pub mod cutover;
pub mod endpoint;
pub mod fault;
pub mod http;
pub mod imports;
pub mod logins;
pub mod machine;
pub mod paging;
pub mod percent;
pub mod ports;
pub mod shared;
pub mod sink;
pub mod source;
pub mod store;
pub mod words;
#[cfg(feature = "xml")]
pub mod xml;

#[doc(hidden)]
pub mod bindings;
mod doors;
