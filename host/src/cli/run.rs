//! `transload run`: the agent in the foreground, until it is told to stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::agent::Agent;
use crate::api::socket::{self, Server};
use crate::clock::SystemClock;
use crate::desk::AgentDesk;
use crate::model::Fault;
use crate::model::commit::Sha;

pub fn main(config: &Path, expected: BTreeMap<String, Sha>) -> ExitCode {
    let config = match super::load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    crate::telemetry::start();
    super::runtime().block_on(async {
        match run(config, expected).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => super::print_fault(fault),
        }
    })
}

async fn run(config: crate::config::Config, expected: BTreeMap<String, Sha>) -> Result<(), Fault> {
    let place = socket::place(&config.state);
    let agent = Agent::open(config, expected, Arc::new(SystemClock::new())).await?;
    let server = Server::bind(&place)?;
    tokio::spawn(server.serve(Arc::new(AgentDesk(agent.clone()))));
    tracing::info!(store = %agent.store_name(), socket = %place.display(), "the agent runs");
    tokio::select! {
        fault = agent.run() => Err(fault),
        () = stopped() => {
            // Every step can be cut short at any moment; what is durable now is what a restart goes on from.
            tracing::info!("the agent stops");
            Ok(())
        }
    }
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be watched");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
