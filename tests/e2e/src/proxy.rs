//! An HTTP proxy on loopback that wants a login and knows CONNECT only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub const USER: &str = "agent";
pub const PASSWORD: &str = "proxy & <word>";

pub struct Proxy {
    pub url: String,
    let_through: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    accepting: tokio::task::AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub async fn start() -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let (let_through, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (let_through.clone(), refused.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counters.clone()));
            }
        });
        Proxy { url, let_through, refused, accepting: accepting.abort_handle() }
    }

    /// Tunnels that were opened.
    pub fn let_through(&self) -> u64 {
        self.let_through.load(Ordering::Relaxed)
    }

    /// Requests without the right login.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn serve(mut client: TcpStream, (let_through, refused): (Arc<AtomicU64>, Arc<AtomicU64>)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let allowed = head.lines().any(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:") && line.ends_with(&login));
    if !allowed {
        refused.fetch_add(1, Ordering::Relaxed);
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let mut words = head.split(' ');
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else { return };
    let Ok(mut server) = TcpStream::connect(authority).await else { return };
    let_through.fetch_add(1, Ordering::Relaxed);
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
