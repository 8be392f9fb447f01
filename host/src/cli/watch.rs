//! `transload status --watch`: the table again every second; bars on a terminal, plain tables into a pipe.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::api::command::{Command, Reply};
use crate::api::socket;

use super::print;

const EVERY: Duration = Duration::from_secs(1);

pub fn main(config: &Path) -> ExitCode {
    let place = match super::place(config) {
        Ok(place) => place,
        Err(code) => return code,
    };
    super::runtime().block_on(async {
        loop {
            match socket::ask(&place, &Command::Status).await {
                Ok(Reply::Status(status)) if show(&print::table(&status)).is_err() => return ExitCode::SUCCESS,
                Ok(Reply::Status(_)) => {}
                Ok(other) => {
                    print::reply(&other, false);
                    return ExitCode::from(1);
                }
                Err(fault) => return super::print_nobody(fault),
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// Fails when nobody reads any more.
fn show(table: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let clear = if out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    write!(out, "{clear}{table}")?;
    out.flush()
}
