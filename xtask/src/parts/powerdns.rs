//! A name server with an HTTP API.

use std::path::PathBuf;
use std::process::Command;

use super::{Part, debian};
use crate::command;

pub const PART: Part = Part {
    name: "pdns-server, pdns-backend-sqlite3, sqlite3 (Debian)",
    why: "the template of a cutover moves names at PowerDNS",
    present: |_| program().exists() && command::succeeds(Command::new("sqlite3").arg("--version")),
    install: |_| debian::install(&["pdns-server", "pdns-backend-sqlite3", "sqlite3"]),
};

/// Debian keeps it where users' paths do not lead.
pub fn program() -> PathBuf {
    "/usr/sbin/pdns_server".into()
}
