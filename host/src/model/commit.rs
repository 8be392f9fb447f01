//! Commits and receipts: what a cycle claims, and the receiver's verdict on it. Both are JSON inside their seal, with unknown members
//! refused; docs/format.md lists the members.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::extent::DiskSize;
use super::fault::Fault;
use super::ids::{Attempt, CycleNumber, DiskId, Epoch, Marker, VmId, VmRef};

pub const FORMAT: u32 = 1;

/// SHA-256 of something stored, written in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(pub [u8; 32]);

impl Sha {
    pub fn of(bytes: &[u8]) -> Sha {
        Sha(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> String {
        sha.to_string()
    }
}

impl TryFrom<String> for Sha {
    type Error = Fault;

    fn try_from(text: String) -> Result<Sha, Fault> {
        text.parse()
    }
}

impl std::str::FromStr for Sha {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Sha, Fault> {
        let broken = || Fault::invalid(format!("\"{text}\" is no SHA-256 in hexadecimal (64 digits)"));
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(broken());
        }
        let mut out = [0; 32];
        for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| broken())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| broken())?;
        }
        Ok(Sha(out))
    }
}

/// A recovery point, by number and by the hash of its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRef {
    pub cycle: CycleNumber,
    pub hash: Sha,
}

/// How a disk is carried over in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything, into a replica of its own.
    Initial,
    /// What changed since the base.
    Delta,
    /// Everything is planned, what is as at the base is not sent.
    Resync,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Initial => "initial",
            Mode::Delta => "delta",
            Mode::Resync => "resync",
        })
    }
}

/// The pages of one attempt that a commit builds on: they cover blocks `0..to_block`. Later layers win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub cycle: CycleNumber,
    pub attempt: Attempt,
    pub to_block: u64,
    pub pages: u32,
    /// SHA-256 over the SHA-256 of every page, in order.
    pub pages_digest: Sha,
    pub planned_parts: u32,
    /// The digest of this attempt's planned bitmap (log/planned.rs).
    pub planned_digest: Sha,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskCommit {
    pub disk: DiskId,
    pub label: String,
    pub fingerprint: String,
    pub size: DiskSize,
    pub mode: Mode,
    pub layers: Vec<Layer>,
    /// Where the source's change tracking stood at the snapshot; none when it tracks nothing.
    pub marker: Option<Marker>,
}

/// The manifests of all disks of a VM in one cycle, and what they build on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    pub format: u32,
    pub vm: VmId,
    pub identity: VmRef,
    pub source: String,
    pub name: String,
    pub cycle: CycleNumber,
    pub epoch: Epoch,
    /// The recovery point it builds on; none when every disk is initial.
    pub base: Option<PointRef>,
    /// The commit before this one, whatever its verdict: commits form a chain.
    pub previous: Option<PointRef>,
    /// When the snapshot was open.
    pub taken_at: Timestamp,
    pub quiesced: bool,
    /// Whether the source was off, so that nothing can follow.
    pub last: bool,
    /// The VM's definition as the source gave it, so that it can be built again.
    pub definition: serde_json::Value,
    pub disks: Vec<DiskCommit>,
}

impl Commit {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a commit has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Commit, Fault> {
        let commit: Commit = serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a commit cannot be read: {error}")))?;
        if commit.format != FORMAT {
            return Err(Fault::unsupported(format!("a commit of format {} was written by a newer version", commit.format)));
        }
        Ok(commit)
    }
}

/// Why a commit was not applied. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectCode {
    /// The replica is not at the base that the commit names.
    WrongBase,
    /// What was planned and what the manifests carry differ.
    Incomplete,
    /// A block, page or bitmap is missing, changed or not what its digest says.
    Damaged,
    /// A cell said to be unchanged differs from the replica.
    NotSame,
    /// The commit itself breaks a rule: a forged chain, an old epoch, layers that do not fit.
    Unacceptable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadBlocks {
    pub disk: DiskId,
    /// Ascending, at most 4,096 of them.
    pub blocks: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    pub code: RejectCode,
    pub message: String,
    /// The blocks to send again. Empty when single blocks are not the trouble.
    pub bad_blocks: Vec<BadBlocks>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedDisk {
    pub disk: DiskId,
    /// The digest of the bitmap of everything written or found the same. The gateway compares it with what it planned.
    pub covered_digest: Sha,
    pub written_sectors: u64,
    pub same_sectors: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    Applied { disks: Vec<AppliedDisk> },
    Rejected(Rejection),
}

/// The receiver's verdict on a commit. Holds nothing that would differ if it were written twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub format: u32,
    pub vm: VmId,
    pub commit: PointRef,
    pub verdict: Verdict,
}

impl Receipt {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a receipt has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Receipt, Fault> {
        let receipt: Receipt =
            serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a receipt cannot be read: {error}")))?;
        if receipt.format != FORMAT {
            return Err(Fault::unsupported(format!("a receipt of format {} was written by a newer version", receipt.format)));
        }
        Ok(receipt)
    }
}
