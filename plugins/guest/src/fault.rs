//! Why a call did not do what was asked: `transload:plugin/types.fault` in the guest's own words.

use std::fmt;

/// The host's retry policy looks at this and at nothing else. wit/types.wit says what each word promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Denied,
    Auth,
    NotFound,
    Conflict,
    Invalid,
    Corrupt,
    Unsupported,
    Throttled,
    Unavailable,
    Full,
    Cancelled,
    Internal,
}

/// One sentence for a person, and the word that decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
    pub retry_after_ms: Option<u32>,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), retry_after_ms: None }
    }

    pub fn denied(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Denied, message)
    }

    pub fn auth(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Auth, message)
    }

    pub fn not_found(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Conflict, message)
    }

    pub fn invalid(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Invalid, message)
    }

    pub fn corrupt(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Corrupt, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Unsupported, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Unavailable, message)
    }

    pub fn throttled(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Throttled, message)
    }

    pub fn full(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Full, message)
    }

    pub fn internal(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Internal, message)
    }

    pub fn retry_after(mut self, wait_ms: Option<u32>) -> Fault {
        self.retry_after_ms = wait_ms;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.message, self.kind)
    }
}

impl std::error::Error for Fault {}
