//! Commands between roles that meet only in the store: `cmd/<n>` goes to the receiver, `reply/<n>` comes back, both sealed.
//!
//! A command has one name for ever, and a reply is created once: a receiver that dies after it carried a command out carries it out again,
//! so only commands that may be done twice travel here.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::layout;
use crate::log::relayed::RelayedCommand;
use crate::log::seal::Role;
use crate::log::store::Log;
use crate::model::{Fault, FaultKind};

/// How often either side looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Now and then it is looked whether the command still stands.
const LOOKS_AT_COMMAND: u32 = 60;
/// Commands, and their replies, that stay. Whoever waits for a reply and is further behind is told that it is gone. The newest ones stay in any
/// case: numbers are counted on from them.
const COMMANDS_KEPT: u64 = 64;
/// Other gateways may be numbering at the same time; after so many collisions something else is wrong.
const NUMBER_TRIES: u32 = 32;

/// Sends a command, and waits for its reply.
pub async fn ask(log: &Log, clock: &dyn Clock, command: &str, within: Duration) -> Result<String, Fault> {
    let number = send(log, command).await?;
    let started = clock.monotonic();
    for look in 1.. {
        if clock.monotonic().saturating_sub(started) >= within {
            break;
        }
        match log.read(Role::Reply, &layout::reply(number)).await {
            Ok(reply) => return String::from_utf8(reply).map_err(|_| Fault::corrupt("the receiver's reply is no text")),
            Err(fault) if fault.kind == FaultKind::NotFound => {}
            Err(fault) => return Err(fault),
        }
        if look % LOOKS_AT_COMMAND == 0 && log.sink().head(&layout::command(number)).await?.is_none() {
            return Err(Fault::unavailable("the reply came and is gone: too many commands came after it. What was asked was done"));
        }
        clock.sleep(LOOK_EVERY).await;
    }
    Err(Fault::unavailable("the receiver did not answer in time: look whether it runs; what was asked may still be done"))
}

async fn send(log: &Log, command: &str) -> Result<u64, Fault> {
    for _ in 0..NUMBER_TRIES {
        let numbers = log.list(layout::COMMANDS).await?;
        let next = numbers.iter().filter_map(|entry| layout::number_of(&entry.key)).max().unwrap_or(0) + 1;
        let relayed = RelayedCommand::new(log.random().number(), command.to_owned());
        match log.create(Role::Command, &layout::command(next), &relayed.encode()).await {
            Ok(()) => return Ok(next),
            Err(fault) if matches!(fault.kind, FaultKind::Conflict | FaultKind::Corrupt) => continue,
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::unavailable("no number for the command was free"))
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handled {
    newest: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum HandledFact {
    Handled { number: u64 },
}

impl Folded for Handled {
    type Fact = HandledFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: HandledFact) -> Result<(), Fault> {
        let HandledFact::Handled { number } = fact;
        self.newest = self.newest.max(number);
        Ok(())
    }
}

/// The receiver's ear: hands out commands one by one, and takes the replies.
pub struct Ear {
    log: Log,
    clock: Arc<dyn Clock>,
    handled: Ledger<Handled>,
}

/// A command that came through the store.
pub struct Heard {
    number: u64,
    pub command: String,
}

impl Ear {
    pub async fn open(log: Log, clock: Arc<dyn Clock>, journal: Arc<dyn Journal>) -> Result<Ear, Fault> {
        let handled = Ledger::open(journal, "relay".to_owned()).await?;
        Ok(Ear { log, clock, handled })
    }

    /// The next command that has no reply yet.
    pub async fn hear(&mut self) -> Result<Heard, Fault> {
        loop {
            let listed = match self.log.list(layout::COMMANDS).await {
                Ok(listed) => listed,
                Err(fault) => {
                    tracing::warn!(kind = %fault.kind, message = %fault.message, "commands cannot be looked for");
                    Vec::new()
                }
            };
            let newest = self.handled.state().newest;
            let mut numbers: Vec<u64> =
                listed.iter().filter_map(|entry| layout::number_of(&entry.key)).filter(|number| *number > newest).collect();
            numbers.sort_unstable();
            for number in numbers {
                match self.read(number).await {
                    Ok(Some(heard)) => return Ok(heard),
                    Ok(None) => self.handled.record(vec![HandledFact::Handled { number }]).await?,
                    Err(fault) => {
                        tracing::warn!(number, message = %fault.message, "a command is passed over");
                        self.handled.record(vec![HandledFact::Handled { number }]).await?;
                    }
                }
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// None when it was answered already.
    async fn read(&self, number: u64) -> Result<Option<Heard>, Fault> {
        if self.log.sink().head(&layout::reply(number)).await?.is_some() {
            return Ok(None);
        }
        let bytes = self.log.read(Role::Command, &layout::command(number)).await?;
        Ok(Some(Heard { number, command: RelayedCommand::decode(&bytes)?.command }))
    }

    pub async fn reply(&mut self, heard: Heard, reply: &str) -> Result<(), Fault> {
        match self.log.create(Role::Reply, &layout::reply(heard.number), reply.as_bytes()).await {
            Err(fault) if !matches!(fault.kind, FaultKind::Conflict | FaultKind::Corrupt) => return Err(fault),
            _ => {}
        }
        self.handled.record(vec![HandledFact::Handled { number: heard.number }]).await?;
        if let Err(fault) = self.forget_old(heard.number).await {
            tracing::warn!(kind = %fault.kind, message = %fault.message, "old commands stay in the store");
        }
        Ok(())
    }

    /// Commands first: a reply without its command is nobody's, a command without its reply would be carried out again by a lost receiver.
    async fn forget_old(&self, newest: u64) -> Result<(), Fault> {
        let old = |entry: &crate::log::sink::Entry| layout::number_of(&entry.key).is_some_and(|number| number + COMMANDS_KEPT <= newest);
        for folder in [layout::COMMANDS, layout::REPLIES] {
            let keys: Vec<String> = self.log.list(folder).await?.into_iter().filter(old).map(|entry| entry.key).collect();
            for batch in keys.chunks(1000) {
                self.log.sink().delete(batch).await?.into_iter().collect::<Result<Vec<()>, Fault>>()?;
            }
        }
        Ok(())
    }
}
