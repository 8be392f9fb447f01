//! Why something did not work, in the one vocabulary that plugins, the host, the API and the documents share.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kinds of `transload:plugin/types.fault-kind`. Retry looks at the kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

impl FaultKind {
    /// The word that appears in logs, the API and the documents.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Denied => "denied",
            FaultKind::Auth => "auth",
            FaultKind::NotFound => "not-found",
            FaultKind::Conflict => "conflict",
            FaultKind::Invalid => "invalid",
            FaultKind::Corrupt => "corrupt",
            FaultKind::Unsupported => "unsupported",
            FaultKind::Throttled => "throttled",
            FaultKind::Unavailable => "unavailable",
            FaultKind::Full => "full",
            FaultKind::Cancelled => "cancelled",
            FaultKind::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without anybody's help.
    pub fn passes(self) -> bool {
        matches!(self, FaultKind::Throttled | FaultKind::Unavailable)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What happened, in one sentence for a person. Whether data is safe and what comes next is said where that is known: by the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({kind})")]
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

    pub fn full(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Full, message)
    }

    pub fn cancelled(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Cancelled, message)
    }

    pub fn internal(message: impl Into<String>) -> Fault {
        Fault::new(FaultKind::Internal, message)
    }

    pub fn retry_after(mut self, wait: Duration) -> Fault {
        self.retry_after_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// The same fault, with what was being done in front.
    pub fn while_doing(mut self, what: impl fmt::Display) -> Fault {
        self.message = format!("{what}: {}", self.message);
        self
    }
}
