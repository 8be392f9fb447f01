//! The suite `bench`: ratios that even a busy machine must show, in short form. The whole bench is `cargo xtask bench`.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::tally::Tally;
use crate::workspace::Workspace;
use crate::{build, command};

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    build::binary(workspace, "transload-bench")?;
    for part in ["memory", "delta", "scale"] {
        let mut bench = Command::new(workspace.binary("transload-bench"));
        bench.args(["--check", "--rounds", "3", "--mib", "96", "--only", part]).stdout(Stdio::null());
        tally.check(&format!("the ratios of part {part} are where they should be"), command::run(&mut bench));
    }
    Ok(())
}
