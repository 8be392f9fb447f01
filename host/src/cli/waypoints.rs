//! `transload waypoints`: every moment at which a test can have the process die, one a line. Hidden: operators have no use for it.

use std::process::ExitCode;

pub fn main() -> ExitCode {
    let of_the_agent = crate::journal::waypoints::<crate::agent::Wanted>();
    crate::driver::waypoints::all().iter().chain(&of_the_agent).for_each(|name| println!("{name}"));
    ExitCode::SUCCESS
}
