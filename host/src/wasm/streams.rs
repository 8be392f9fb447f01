//! The `streams` import: connections that a grant names. Where they lead and who is believed there is `net`'s; here are their bounds.
//!
//! A connection lives in the instance's table. One that is still there at the end of its call ends with the instance.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::component::Resource;

use super::bindings::streams;
use super::state::{InstanceState, Refusal};
use super::trouble::Mishap;
use super::web::transfer_allowance;
use crate::model::Fault;
use crate::net::{Duplex, READ_TIMEOUT};

const SEND_BYTES_MAX: usize = 1 << 20;
const RECEIVE_BYTES_MAX: usize = 64 * 1024;
/// Connections of one instance at a time. A call needs one or two; the server must not pay for more.
const CONNECTIONS_MAX: usize = 16;

/// An open connection.
pub struct Connection {
    /// For people.
    peer: String,
    /// None once it broke: what was sent and what was not is unknown then.
    open: Option<Box<dyn Duplex>>,
}

impl Connection {
    fn broke(&self, why: impl std::fmt::Display) -> Fault {
        Fault::unavailable(format!("the connection to {} broke: {why}", self.peer))
    }

    /// On a bad day it breaks before the bytes, or behind them: then they arrived, and no answer comes.
    async fn send_on(&mut self, mishap: Option<Mishap>, bytes: &[u8]) -> Result<(), Fault> {
        match mishap {
            None => self.send(bytes).await,
            Some(Mishap::Busy | Mishap::Lost) => {
                self.open = None;
                Err(self.broke("for this trial"))
            }
            Some(Mishap::Unanswered | Mishap::Cut) => {
                self.send(bytes).await?;
                if let Some(mut open) = self.open.take() {
                    // What was written arrives, as it does where a line breaks behind it.
                    let _ = open.shutdown().await;
                }
                Ok(())
            }
        }
    }

    /// One that fails in the middle is not used again.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut open = self.open.take().ok_or_else(|| self.broke("nothing can be sent any more"))?;
        let limit = READ_TIMEOUT + transfer_allowance(bytes.len() as u64);
        let sent = tokio::time::timeout(limit, async {
            open.write_all(bytes).await?;
            open.flush().await
        });
        match sent.await {
            Ok(Ok(())) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(self.broke(error)),
            Err(_) => Err(self.broke(format!("{} bytes were not taken within {} s", bytes.len(), limit.as_secs()))),
        }
    }

    /// What is there, at most so many bytes. When nothing came in time the connection is as it was: a read that waits took nothing.
    async fn receive(&mut self, bytes_max: usize, within: Duration) -> Result<Vec<u8>, Fault> {
        let mut open = self.open.take().ok_or_else(|| self.broke("nothing will come any more"))?;
        let mut buffer = vec![0; bytes_max];
        let answer = match tokio::time::timeout(within, open.read(&mut buffer)).await {
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Ok(buffer)
            }
            Ok(Err(error)) => return Err(self.broke(error)),
            Err(_) => Err(Fault::unavailable(format!("{} sent nothing within {} ms", self.peer, within.as_millis()))),
        };
        self.open = Some(open);
        answer
    }
}

impl streams::Host for InstanceState {
    async fn open(&mut self, grant: String) -> Result<Resource<Connection>, Refusal> {
        self.may_reach()?;
        let plugin = self.plugin.clone();
        let dialer = plugin.dialer(&grant)?;
        if self.held::<Connection>() >= CONNECTIONS_MAX {
            return Err(Fault::denied(format!("a plugin may hold at most {CONNECTIONS_MAX} connections at a time")).into());
        }
        if plugin.mishap().is_some() {
            return Err(Fault::unavailable(format!("{dialer} accepted no connection: for this trial")).into());
        }
        let open = dialer.dial().await?;
        Ok(self.table.push(Connection { peer: dialer.to_string(), open: Some(open) })?)
    }
}

impl streams::HostConnection for InstanceState {
    async fn send(&mut self, this: Resource<Connection>, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.may_reach()?;
        if bytes.len() > SEND_BYTES_MAX {
            return Err(Fault::invalid(format!("at most {SEND_BYTES_MAX} bytes are sent at a time; these are {}", bytes.len())).into());
        }
        let mishap = self.plugin.mishap();
        self.table.get_mut(&this)?.send_on(mishap, &bytes).await?;
        self.plugin.counters().spliced(bytes.len() as u64);
        Ok(())
    }

    async fn receive(&mut self, this: Resource<Connection>, limit: u32, deadline_ms: u32) -> Result<Vec<u8>, Refusal> {
        self.may_reach()?;
        if limit == 0 {
            return Err(Fault::invalid("at least one byte must be asked for: none means that the other side closed").into());
        }
        // A call that waits longer than it may take would end without an answer.
        let within = Duration::from_millis(u64::from(deadline_ms)).min(self.plugin.limits().call);
        let bytes = self.table.get_mut(&this)?.receive(RECEIVE_BYTES_MAX.min(limit as usize), within).await?;
        self.plugin.counters().spliced(bytes.len() as u64);
        Ok(bytes)
    }

    async fn drop(&mut self, this: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
