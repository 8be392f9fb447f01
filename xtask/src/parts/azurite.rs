//! Azurite, the emulator of Azure Blob Storage that Microsoft writes.

use std::path::PathBuf;

use super::{Part, npm};
use crate::workspace::Workspace;

pub const PART: Part = Part {
    name: "azurite 3.35.0 (npm)",
    why: "the Azure plugin is tried against the emulator that Microsoft writes",
    present: |workspace| program(workspace).exists() && npm::is_there(),
    install: |workspace| npm::install(&folder(workspace), &["azurite@3.35.0".to_owned()]),
};

/// The emulator of blobs alone; queues and tables are programs of their own.
pub fn program(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("node_modules").join(".bin").join("azurite-blob")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("azurite")
}
