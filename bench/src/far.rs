//! A far end in a process of its own, so that its work is not counted as ours: a store that forgets, and a long line in front of it.
//!
//! ```text
//!   us ──▶ line ──▶ store
//!          every byte arrives half a round trip later; a stream has one window on its way; all streams share the rate
//! ```
//!
//! The line is a model in user space: kernels without netem have no other. It stands for TCP over a distance: the window limits each stream,
//! the rate limits all of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::ends::Line;
use crate::{alone, corpus};

/// What the disk behind the line is made of, over and over again.
const TILE: usize = 64 << 20;
/// Bytes that travel together.
const PARCEL: usize = 64 << 10;
const LATE: Duration = Duration::from_millis(5);
/// Bytes a second that a line of 1 Gbit/s carries.
pub const RATE: u64 = 125_000_000;

/// The process; it ends with this value.
pub struct Far {
    child: Child,
    pub store: String,
    pub line: String,
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Far {
    pub fn start(line: Line) -> Result<Far> {
        let mut command = alone::command(&format!("far:{}:{}", line.round_trip.as_millis(), line.window))?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut said)?;
        let ports: Value = serde_json::from_str(&said).context("the far end did not come up")?;
        Ok(Far { child, store: format!("127.0.0.1:{}", ports["store"]), line: format!("127.0.0.1:{}", ports["line"]) })
    }
}

/// Serves until the process that started it closes our input.
pub async fn serve(line: Line) -> Result<()> {
    let (store, front) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let behind = store.local_addr()?;
    println!("{}", json!({ "store": behind.port(), "line": front.local_addr()?.port() }));
    let disk = Arc::new(corpus::half(TILE).image);
    tokio::spawn(async move {
        while let Ok((stream, _)) = store.accept().await {
            let disk = disk.clone();
            tokio::spawn(async move { drop(answer(stream, &disk).await) });
        }
    });
    let rate = Arc::new(Mutex::new(Instant::now()));
    tokio::spawn(async move {
        while let Ok((near, _)) = front.accept().await {
            let Ok(far) = TcpStream::connect(behind).await else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(from_near, to_far, line, Some(rate.clone())));
            tokio::spawn(carry(from_far, to_near, line, None));
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().count()).await?;
    Ok(())
}

/// One direction of one stream. Room in the window comes back a round trip after it was taken.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, line: Line, rate: Option<Arc<Mutex<Instant>>>) {
    let window = Arc::new(Semaphore::new(line.window as usize));
    let (send, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        loop {
            let mut parcel = vec![0; PARCEL];
            let length = match from.read(&mut parcel).await {
                Ok(0) | Err(_) => return,
                Ok(length) => length,
            };
            parcel.truncate(length);
            let Ok(room) = window.clone().acquire_many_owned(length as u32).await else { return };
            if let Some(rate) = &rate {
                let free_at = {
                    let mut free_at = rate.lock().expect("nothing panics while it holds this");
                    *free_at = (*free_at).max(Instant::now()) + Duration::from_secs_f64(length as f64 / RATE as f64);
                    *free_at
                };
                // A timer is no finer than a millisecond: a few of them are let through at once.
                if free_at > Instant::now() + LATE {
                    tokio::time::sleep_until(free_at).await;
                }
            }
            let sent = Instant::now();
            if send.send((sent + line.round_trip / 2, parcel)).is_err() {
                return;
            }
            tokio::spawn(async move {
                tokio::time::sleep_until(sent + line.round_trip).await;
                drop(room);
            });
        }
    };
    let writing = async move {
        while let Some((at, parcel)) = arriving.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&parcel).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

/// HTTP/1.1 as far as it is asked for here: a PUT is read and forgotten, a range of the disk is what stands there in the tile that it is
/// made of, and there is nothing else to GET.
async fn answer(stream: TcpStream, disk: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufStream::with_capacity(PARCEL, 1024, stream);
    let mut skipped = vec![0; PARCEL];
    loop {
        let (mut method, mut length, mut range) = (String::new(), 0_usize, None);
        loop {
            let mut text = String::new();
            if stream.read_line(&mut text).await? == 0 {
                return Ok(());
            }
            if method.is_empty() {
                method = text.split(' ').next().unwrap_or_default().to_owned();
            }
            if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if let Some(value) = text.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (from, to) = value.trim().split_once('-').context("a range has two ends")?;
                range = Some((from.parse::<usize>()?, to.parse::<usize>()? + 1));
            }
            if text == "\r\n" {
                break;
            }
        }
        while length > 0 {
            let part = length.min(PARCEL);
            stream.read_exact(&mut skipped[..part]).await?;
            length -= part;
        }
        if let Some((from, to)) = range {
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/*\r\ncontent-length: {}\r\n\r\n",
                to - 1,
                to - from
            );
            stream.write_all(head.as_bytes()).await?;
            let mut at = from;
            while at < to {
                let (place, end) = (at % disk.len(), (at + disk.len() - at % disk.len()).min(to));
                stream.write_all(&disk[place..place + (end - at)]).await?;
                at = end;
            }
            stream.flush().await?;
            continue;
        }
        const NOTHING: &str = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>It forgets.</Message></Error>";
        let said = match method.as_str() {
            "PUT" => "HTTP/1.1 200 OK\r\netag: \"0\"\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HEAD" => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "GET" => {
                format!("HTTP/1.1 404 Not Found\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{NOTHING}", NOTHING.len())
            }
            other => anyhow::bail!("nobody asks this store to {other}"),
        };
        stream.write_all(said.as_bytes()).await?;
        stream.flush().await?;
    }
}
