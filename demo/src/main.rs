//! The demo: the real agent with the real components against a simulated vCenter and an S3 server, with everything shown that a careful
//! person would ask about. `cargo xtask demo` builds it and runs it.
//!
//! ```text
//!   story.rs    the eight acts, in order
//!   site.rs     the lab, the configuration, the folders
//!   agent.rs    the agent as a process: started, asked, killed
//!   proof.rs    digests of replicas and of restored recovery points against the lab's own
//!   report.rs   the table and the JSON object at the end
//! ```

mod agent;
mod proof;
mod report;
mod site;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Print one JSON object at the end instead of the table.
    #[arg(long)]
    json: bool,
    /// Small disks: seconds instead of a minute.
    #[arg(long)]
    small: bool,
    /// The agent's binary.
    #[arg(long, default_value = "target/debug/transload")]
    agent: PathBuf,
    /// The folder of plugin folders.
    #[arg(long, default_value = "target/plugins")]
    plugins: PathBuf,
    /// Keep everything in this folder instead of a temporary one.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match story::tell(&arguments).await {
        Ok(report) => {
            report.print(arguments.json);
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("The demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
