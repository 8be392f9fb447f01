//! The compiler target of the plugins.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Part;
use crate::command;
use crate::workspace::Workspace;

pub const NAME: &str = "wasm32-wasip2";

pub const PART: Part =
    Part { name: "the Rust target wasm32-wasip2", why: "plugins are WebAssembly components", present: is_there, install: add };

fn is_there(workspace: &Workspace) -> bool {
    // Asked of the compiler and not of rustup: a distribution's Rust has no rustup and may well have the target.
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", NAME]).current_dir(&workspace.root).output();
    libraries.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("self-contained").exists())
}

fn add(workspace: &Workspace) -> Result<()> {
    if command::run(Command::new("rustup").args(["target", "add", NAME]).current_dir(&workspace.root)).is_err() {
        bail!("the Rust target {NAME} could not be added; run `rustup target add {NAME}` where rustup reaches its server, then try again");
    }
    Ok(())
}
