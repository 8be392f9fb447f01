//! Names of things. Each is a type of its own, so that a disk's id is never passed where a VM's belongs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A VM as its source names it, with the fingerprint that proves it is still the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VmRef {
    pub id: String,
    pub fingerprint: String,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(text.to_owned())
            }
        }
    };
}

name_type! {
    /// A VM in the log and the journal: derived from the source's name and the VM's identity, safe as part of an object key.
    VmId
}
name_type! {
    /// A disk of a VM, as its source names it.
    DiskId
}
name_type! {
    /// An open snapshot, in the source's own words.
    SnapshotToken
}
name_type! {
    /// A position in a source's change tracking, in the source's own words.
    Marker
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_type! {
    /// One pass over a VM; counted from 1, never reused.
    CycleNumber, u64
}
number_type! {
    /// A try at a cycle with a snapshot of its own; counted from 1 by the first owner of the VM.
    Attempt, u32
}
number_type! {
    /// Which agent owns a VM. The highest epoch in the store wins.
    Epoch, u64
}

/// Which store holds a segment: the home store, or a further one that is bound to it, by the first four bytes of that store's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreNumber(pub u32);

impl StoreNumber {
    /// Everything but segments stands here always.
    pub const HOME: StoreNumber = StoreNumber(0);

    pub fn is_home(self) -> bool {
        self == StoreNumber::HOME
    }
}

impl fmt::Display for StoreNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl CycleNumber {
    pub fn next(self) -> CycleNumber {
        CycleNumber(self.0 + 1)
    }
}

impl Attempt {
    pub const FIRST: Attempt = Attempt(1);
    /// Numbers that each owner of a VM has for the attempts of one cycle.
    const EACH_EPOCH: u32 = 100;

    /// The first attempt at a cycle. Owners count from different numbers: two that do not know of each other yet never share a folder.
    pub fn first_of(epoch: Epoch) -> Attempt {
        let before = u32::try_from(epoch.0.saturating_sub(1)).unwrap_or(u32::MAX);
        Attempt(before.saturating_mul(Attempt::EACH_EPOCH).saturating_add(1))
    }

    /// The how-manieth attempt of its owner at the cycle, counted from 1.
    pub fn in_cycle(self) -> u32 {
        (self.0 - 1) % Attempt::EACH_EPOCH + 1
    }

    pub fn next(self) -> Attempt {
        Attempt(self.0 + 1)
    }
}
