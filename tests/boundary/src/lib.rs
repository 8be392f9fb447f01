//! What the tests of the plugins' boundary stand on: the plugin host in this process, real components in it, and a real TLS server.
//!
//! ```text
//!   World: plugin folders of the test guests, a Server, an operator's configuration ─▶ sources, sinks, cutovers in one plugin host
//!   Beside: a VM that replicates in the same plugin host meanwhile
//! ```

mod beside;
pub mod server;
pub mod setup;
