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
        () = told_to_stop() => {
            leave(&agent).await;
            Ok(())
        }
    }
}

/// Puts down what is open, as long as that takes less than the grace time; whoever is told twice goes at once. Every step can be cut short at
/// any moment: what is durable then is what a restart goes on from, and a snapshot that is still open is used again.
async fn leave(agent: &Arc<Agent>) {
    let grace = agent.config.replication.stop_within.0;
    tracing::info!(grace_s = grace.as_secs(), "the agent stops: copies are put down and their snapshots closed");
    tokio::select! {
        biased;
        () = agent.leave() => tracing::info!("the agent has stopped; no snapshot of its own is open"),
        () = told_to_stop() => tracing::warn!("told to stop again: the next start goes on with what is open"),
        () = tokio::time::sleep(grace) => tracing::warn!("the grace time is over: the next start goes on with what is open"),
    }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be watched");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
