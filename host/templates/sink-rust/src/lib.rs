//! A store of objects over plain HTTP: the requests of S3, addressed by path, without signatures.
//!
//! ```text
//!   agent ─▶ export_sink! ─▶ store.rs: one request for each verb ─▶ the agent sends it
//!                               │
//!                            answers.rs: a status and a document become a value or a fault
//! ```
//!
//! Objects never come in here. `put` names the request that carries a sealed body, `get` hands back the response that the agent
//! will read; both are handles.

mod answers;
mod settings;
mod store;

transload_guest::export_sink!(store::Store);
