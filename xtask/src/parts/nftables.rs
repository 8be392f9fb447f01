//! The program that fills tables of packet rules.

use std::process::Command;

use super::{Part, debian};
use crate::command;

pub const PART: Part = Part {
    name: "nftables (Debian)",
    why: "what plugins put into their tables is judged by nft itself, in a network of the test's own",
    // Where the agent looks for it; a search path may leave sbin out.
    present: |_| command::succeeds(Command::new("/usr/sbin/nft").arg("--version")),
    install: |_| debian::install(&["nftables"]),
};
