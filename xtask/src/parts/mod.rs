//! What the suites need from outside the repository. A part knows why it is needed, whether it is there, and how to get it.

pub mod azurite;
mod debian;
pub mod nftables;
mod npm;
pub mod peers;
pub mod powerdns;
pub mod python;
pub mod qemu;
pub mod seaweedfs;
pub mod vcsim;
pub mod vendors;
pub mod wasm_target;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

pub struct Part {
    pub name: &'static str,
    /// Who needs it; shown before it is installed.
    pub why: &'static str,
    pub present: fn(&Workspace) -> bool,
    pub install: fn(&Workspace) -> Result<()>,
}

/// What to do about a part that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Install {
    Missing,
    Refuse,
}

impl Part {
    pub fn provide(&self, workspace: &Workspace, install: Install) -> Result<()> {
        if (self.present)(workspace) {
            return Ok(());
        }
        if install == Install::Refuse {
            bail!("{} is missing ({}), and --no-install forbids to install it", self.name, self.why);
        }
        // Not on standard output: `demo --json` promises one object there.
        eprintln!("Installing {}: {}.", self.name, self.why);
        (self.install)(workspace)
    }
}
