//! What plugin logic needs from the host. `Imports` implements these in a component; native tests script them.

use std::fmt;

use crate::fault::Fault;
use crate::http::{BodyPart, Request, Response};

pub trait Http {
    /// A small exchange. Every status is a value; only a connection that failed is a fault.
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault>;
}

/// A value in the store that all instances of this plugin share, and the version it had.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub version: u64,
    pub value: Vec<u8>,
}

/// Without the value, which may be a login.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("version", &self.version).finish_non_exhaustive()
    }
}

pub trait Sessions {
    fn get(&self, name: &str) -> Option<Entry>;
    /// `conflict` when another instance was faster; an empty value forgets the entry.
    fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault>;
}

/// How the operator wrote a secret down that is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// Its bytes are the key.
    Text,
    /// It is base64; the decoded bytes are the key.
    Base64,
}

pub trait Secrets {
    /// The last key of the HMAC-SHA-256 chain that starts with `prefix` + the secret.
    fn sign_chain(&self, secret: &str, form: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault>;
}

pub trait Clock {
    /// Seconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64;
}

/// Connections that the manifest asks for under `[[stream]]`.
pub trait Streams {
    /// Connects to where the grant of this name leads; `unavailable` when nobody answers there.
    fn open(&self, grant: &str) -> Result<Box<dyn Stream>, Fault>;
}

pub trait Stream {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// At least one byte; none means that the other side closed. `unavailable` at the deadline, after which it can be asked again.
    fn receive(&mut self, limit: u32, deadline_ms: u32) -> Result<Vec<u8>, Fault>;
}

/// The table that the manifest asks for under `[netfilter]`, in the JSON form of libnftables.
pub trait Netfilter {
    /// Replaces what is in the table, all of it or nothing.
    fn apply(&self, ruleset: &str) -> Result<(), Fault>;
    fn rules(&self) -> Result<String, Fault>;
}
