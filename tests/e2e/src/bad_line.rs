//! A bad line to an S3 store: a TLS server with a certificate of its own that passes every call on, and fails one in ten of them in one of
//! the ways in which lines and stores fail.
//!
//! ```text
//!   agent ── TLS ──▶ bad line ── plain ──▶ store
//!                      │ refused, with 503 or 500              nothing happened
//!                      │ cut in the request's body             nothing happened
//!                      │ doubled                               it happened twice, and the second answer is the one that is heard
//!                      │ reply lost                            it happened, and nobody says so
//!                      │ cut in the answer's body, truncated   it happened, and half of the answer arrives
//!                      │ slow                                  it happens late, and the answer comes in drops
//! ```
//!
//! Which calls fail comes of a seed and the order in which they arrive. One call a connection: what is tried is what becomes of the call.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use crate::agent::Agent;
use crate::setup::{Setup, secret_file};
use crate::site::{Site, s3_sink};

/// One call in so many fails.
const ONE_IN: u32 = 10;
/// No head and no body of an agent's is longer.
const HEAD_MAX: usize = 64 << 10;
const BODY_MAX: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Refused(u16),
    CutInRequest,
    Doubled,
    ReplyLost,
    CutInAnswer,
    Truncated,
    Slow,
}

impl Way {
    pub const ALL: [Way; 8] = [
        Way::Refused(503),
        Way::Refused(500),
        Way::CutInRequest,
        Way::Doubled,
        Way::ReplyLost,
        Way::CutInAnswer,
        Way::Truncated,
        Way::Slow,
    ];

    /// A read that is done twice is a read.
    fn suits(self, method: &str) -> bool {
        self != Way::Doubled || method == "PUT"
    }
}

pub struct BadLine {
    pub url: String,
    /// The authority that its certificate has to be trusted by.
    pub ca_file: PathBuf,
    fate: Arc<Mutex<Fate>>,
    accepting: tokio::task::AbortHandle,
}

impl Drop for BadLine {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What becomes of the calls, and what became of them.
struct Fate {
    random: ChaCha8Rng,
    calls: u64,
    failed: BTreeMap<Way, u64>,
}

impl Fate {
    fn of(&mut self, method: &str) -> Option<Way> {
        self.calls += 1;
        if !self.random.next_u32().is_multiple_of(ONE_IN) {
            return None;
        }
        let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| way.suits(method)).collect();
        let way = ways[self.random.next_u32() as usize % ways.len()];
        *self.failed.entry(way).or_default() += 1;
        Some(way)
    }
}

impl BadLine {
    /// In front of the store that listens here without TLS, as `http://host:port`.
    pub async fn start(folder: &Path, store: &str, seed: u64) -> BadLine {
        let upstream = store.trim_start_matches("http://").to_owned();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate can be made");
        let ca_file = folder.join("bad-line.pem");
        std::fs::write(&ca_file, cert.pem()).expect("the site can be written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the certificate is whole");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let url = format!("https://{}", listener.local_addr().expect("it listens"));
        let fate = Arc::new(Mutex::new(Fate { random: ChaCha8Rng::seed_from_u64(seed), calls: 0, failed: BTreeMap::new() }));
        let shared = fate.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, fate, upstream) = (acceptor.clone(), shared.clone(), upstream.clone());
                tokio::spawn(async move {
                    if let Ok(client) = acceptor.accept(stream).await {
                        let _ = serve(client, &fate, &upstream).await;
                    }
                });
            }
        });
        BadLine { url, ca_file, fate, accepting: accepting.abort_handle() }
    }

    /// An agent that reaches the site's store over this line only.
    pub fn setup(&self, site: &Site, vms: &[&str]) -> Setup {
        let s3 = site.lab.s3();
        let secret_key = secret_file(&site.folder().join("s3.secret-key"), s3.secret_key());
        let trust = format!("trust = {{ ca-file = {:?} }}", self.ca_file);
        let sink = s3_sink(&self.url, s3.bucket(), s3.access_key(), &secret_key, &trust);
        Setup { sink, ..site.setup(vms).beside("bad-line") }
    }

    /// Calls, and how many of them failed in which way.
    pub fn counts(&self) -> (u64, BTreeMap<Way, u64>) {
        let fate = self.fate.lock().expect("no panic under this lock");
        (fate.calls, fate.failed.clone())
    }
}

/// An agent asks the store at its start as well, and may not get through: whoever keeps it running starts it again.
pub async fn started(setup: &Setup) -> Agent {
    for _ in 0..5 {
        let mut agent = Agent::spawn(setup);
        for _ in 0..200 {
            if agent.has_ended() {
                break;
            }
            if setup.run(&["status", "--json"]).code == 0 {
                return agent;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
    panic!("the agent did not start in five tries");
}

type Client = TlsStream<TcpStream>;

async fn serve(mut client: Client, fate: &Mutex<Fate>, upstream: &str) -> io::Result<()> {
    let (head, mut body) = read_head(&mut client).await?;
    let method = head.split(' ').next().unwrap_or_default().to_owned();
    let way = fate.lock().expect("no panic under this lock").of(&method);
    let length = length(&head).min(BODY_MAX);
    if way == Some(Way::CutInRequest) {
        read_up_to(&mut client, &mut body, length / 2).await?;
        return cut(client);
    }
    read_up_to(&mut client, &mut body, length).await?;
    if let Some(Way::Refused(status)) = way {
        return client.write_all(refusal(status).as_bytes()).await;
    }
    if way == Some(Way::Slow) {
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let mut answer = forward(upstream, &head, &body).await?;
    if way == Some(Way::Doubled) {
        answer = forward(upstream, &head, &body).await?;
    }
    let body_at = find(&answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let half = body_at + (answer.len() - body_at) / 2;
    match way {
        Some(Way::ReplyLost) => cut(client),
        Some(Way::CutInAnswer) => {
            client.write_all(&answer[..half]).await?;
            client.flush().await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            cut(client)
        }
        // As a proxy does that gives up: a clean end, only too early. Without a body nothing is missing, so the head is cut.
        Some(Way::Truncated) => {
            let end = if half > body_at { half } else { body_at / 2 };
            client.write_all(&answer[..end]).await?;
            client.shutdown().await
        }
        Some(Way::Slow) => {
            for drop in answer.chunks(answer.len().div_ceil(8).max(1)) {
                client.write_all(drop).await?;
                client.flush().await?;
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            client.shutdown().await
        }
        _ => {
            client.write_all(&answer).await?;
            client.shutdown().await
        }
    }
}

/// The connection is reset, without a word of TLS.
fn cut(client: Client) -> io::Result<()> {
    let (stream, _) = client.into_inner();
    stream.set_zero_linger()
}

async fn read_head(client: &mut Client) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
        if bytes.len() > HEAD_MAX || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn read_up_to(client: &mut Client, body: &mut Vec<u8>, length: usize) -> io::Result<()> {
    while body.len() < length {
        if client.read_buf(body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The whole call and the whole answer, over a connection of its own.
async fn forward(upstream: &str, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut store = TcpStream::connect(upstream).await?;
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    store.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
    store.write_all(body).await?;
    let mut answer = Vec::new();
    store.take(BODY_MAX as u64).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

fn refusal(status: u16) -> String {
    let code = if status == 503 { "SlowDown" } else { "InternalError" };
    let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>Try again.</Message></Error>");
    format!("HTTP/1.1 {status} No\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{xml}", xml.len())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
