//! Connections to the outside: who is trusted, which addresses are reached, and what is said when it does not work.
//!
//! ```text
//!   Endpoint (from the configuration, one per origin)
//!      │  resolve: address override, or the machine's resolver checked against `expect`
//!      │  connect: directly, or through an HTTP proxy by CONNECT
//!      │  trust:   system roots, a CA file, or the pin of the certificate itself
//!      ├─▶ Client: HTTP/1.1, no redirects, no proxy from the environment
//!      └─▶ Dialer: a bare connection (tcp, tls), or a unix socket
//! ```
//!
//! `probe` walks the same steps one by one for `transload check`.

mod client;
mod dial;
mod endpoint;
mod inside;
mod origin;
mod probe;
mod resolve;
mod seats;
mod trust;
/// Public for fuzz/: a proxy's answer is read before anybody was trusted.
pub mod tunnel;

pub use client::{Client, basic};
pub use dial::{Dialer, Duplex};
pub use endpoint::{Endpoint, NoProxy, Plaintext, Proxy, READ_TIMEOUT, Trust};
pub use origin::{Origin, Scheme};
pub use probe::{ProbeFailure, ProbeStep, probe};
pub use seats::Seat;
pub use trust::Pin;
