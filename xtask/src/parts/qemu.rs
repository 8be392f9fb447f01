//! A reader of VMDK files that others wrote.

use std::process::Command;

use super::{Part, debian};
use crate::command;

pub const PART: Part = Part {
    name: "qemu-utils (Debian)",
    why: "qemu-img reads the disks that the lab exports",
    present: |_| command::succeeds(Command::new("qemu-img").arg("--version")),
    install: |_| debian::install(&["qemu-utils"]),
};
