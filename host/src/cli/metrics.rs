//! `transload metrics`: what a running agent counted, once. Nobody's answer is an error and no empty page, so that a collector keeps what it
//! had and notices.

use std::path::Path;
use std::process::ExitCode;

use crate::api::command::{Command, Reply};
use crate::api::{metrics, socket};

use super::print;

pub fn main(config: &Path) -> ExitCode {
    let place = match super::place(config) {
        Ok(place) => place,
        Err(code) => return code,
    };
    match super::runtime().block_on(socket::ask(&place, &Command::Status)) {
        Ok(Reply::Status(status)) => {
            print!("{}", metrics::text(&status));
            ExitCode::SUCCESS
        }
        Ok(other) => {
            print::reply(&other, false);
            ExitCode::from(1)
        }
        Err(fault) => super::print_nobody(fault),
    }
}
