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
    let config = match super::load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let place = socket::place(&config.state);
    super::runtime().block_on(async {
        loop {
            match socket::ask(&place, &Command::Status).await {
                Ok(Reply::Status(status)) => show(&print::table(&status)),
                Ok(other) => {
                    print::reply(&other, false);
                    return ExitCode::from(1);
                }
                Err(fault) => return super::print_fault(fault),
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

fn show(table: &str) {
    let mut out = std::io::stdout().lock();
    let clear = if out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    // A reader that went away ends the process by its signal, or is noticed at the next line.
    let _ = write!(out, "{clear}{table}");
    let _ = out.flush();
}
