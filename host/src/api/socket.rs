//! The unix socket: one request a connection, one JSON line each way. Only the agent's own user can open it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::model::Fault;

use super::command::{Command, Desk, Reply};
use super::sentences::refusal;

/// No command is longer.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// A client that connects and says nothing is let go.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

pub fn place(state: &Path) -> PathBuf {
    state.join("agent.sock")
}

pub struct Server {
    listener: UnixListener,
}

impl Server {
    /// Takes the socket. The journal's lock has proved by now that no other agent uses this folder, so an old socket is a dead one.
    pub fn bind(path: &Path) -> Result<Server, Fault> {
        let failed = |error: std::io::Error| Fault::denied(format!("the socket {} cannot be opened: {error}", path.display()));
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Server { listener })
    }

    pub async fn serve(self, desk: Arc<dyn Desk>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, desk.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a client could not connect");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn answer(stream: UnixStream, desk: Arc<dyn Desk>) {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut limited = BufReader::new(reading).take(REQUEST_BYTES_MAX);
    let read = tokio::time::timeout(REQUEST_WITHIN, limited.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let reply = match serde_json::from_str::<Command>(&line) {
        Ok(command) => desk.carry_out(command).await,
        Err(error) => Reply::Refused(refusal(Fault::invalid(format!("this is no command: {error}")))),
    };
    let mut text = serde_json::to_string(&reply).expect("a reply has only string keys");
    text.push('\n');
    // A client that went away does not want the answer.
    let _ = writing.write_all(text.as_bytes()).await;
}

/// Asks a running agent.
pub async fn ask(path: &Path, command: &Command) -> Result<Reply, Fault> {
    let nobody = |error: std::io::Error| Fault::unavailable(format!("no agent answers at {}: {error}", path.display()));
    let broken = || Fault::unavailable("the agent ended before it answered; ask again");
    let mut stream = UnixStream::connect(path).await.map_err(nobody)?;
    let mut text = serde_json::to_string(command).expect("a command has only string keys");
    text.push('\n');
    stream.write_all(text.as_bytes()).await.map_err(|_| broken())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.map_err(|_| broken())?;
    serde_json::from_str(&reply).map_err(|_| broken())
}
