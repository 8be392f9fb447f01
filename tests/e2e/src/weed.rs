//! SeaweedFS as a process: an S3 server that others wrote, with authentication, plain and over TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::parts;
use crate::setup::{Setup, secret_file};
use crate::site::{Site, s3_sink};

pub const ACCESS_KEY: &str = "WEEDACCESSKEY";
pub const SECRET_KEY: &str = "weed/secret+key/9876543210";
pub const BUCKET: &str = "transload";

/// Whom the server lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guests {
    /// One account, with the keys above.
    Known,
    /// Whoever asks, without a signature.
    Anybody,
}

/// A running server; it dies with this value.
pub struct Weed {
    child: Child,
    /// What was added while it ran.
    added: Vec<Child>,
    folder: PathBuf,
    ports: Ports,
    pub plain: String,
    pub tls: String,
    /// SHA-256 of its self-made certificate.
    pub pin: String,
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It takes 20 s to think about a SIGTERM.
        for child in self.added.iter_mut().chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports by one number, so that two servers do not clash: each port of weed has a twin 10000 above it.
struct Ports {
    master: u16,
    volume: u16,
    filer: u16,
    plain: u16,
    tls: u16,
    /// For a second volume server.
    more: u16,
}

impl Ports {
    fn free() -> Ports {
        let free = |port: u16| {
            let listens = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
            listens(port) && listens(port + 10_000)
        };
        // What another test of this process was given is not bound yet.
        static NEXT: Mutex<Option<u16>> = Mutex::new(None);
        let mut next = NEXT.lock().expect("a panic here is this machine's");
        // Twins included they stay below what the system gives to outgoing connections, which come and go at any moment.
        let start = next.unwrap_or(20_000 + (std::process::id() % 400) as u16 * 6);
        let base = (start..22_700).step_by(6).find(|base| (*base..*base + 6).all(free));
        let base = base.expect("this machine has free ports");
        *next = Some(base + 6).filter(|next| *next < 22_600);
        Ports { master: base, volume: base + 1, filer: base + 2, plain: base + 3, tls: base + 4, more: base + 5 }
    }
}

impl Weed {
    /// Starts a server below the folder and makes the bucket; `None` where the program is not there.
    pub async fn start(folder: &Path) -> Option<Weed> {
        Weed::start_with(folder, Guests::Known, &["-volume.max=50", "-master.volumeSizeLimitMB=256"]).await
    }

    /// One that asks for no login, as the template of a plugin expects.
    pub async fn start_open(folder: &Path) -> Option<Weed> {
        Weed::start_with(folder, Guests::Anybody, &["-volume.max=50", "-master.volumeSizeLimitMB=256"]).await
    }

    /// One with room for so much, roughly, before it is full.
    pub async fn start_small(folder: &Path, mebibytes: u64) -> Option<Weed> {
        Weed::start_with(folder, Guests::Known, &["-volume.max=1", &format!("-master.volumeSizeLimitMB={mebibytes}")]).await
    }

    /// Somebody may take one of its ports before it does: then it ends at once, and is started with other ones.
    async fn start_with(folder: &Path, guests: Guests, room: &[&str]) -> Option<Weed> {
        for _ in 0..3 {
            let mut weed = Weed::spawn(folder, guests, room)?;
            if weed.is_ready().await {
                return Some(weed);
            }
        }
        let log = std::fs::read_to_string(folder.join("weed/log")).unwrap_or_default();
        panic!("weed ended three times while it started; the last log: {}", &log[log.len().saturating_sub(2000)..]);
    }

    fn spawn(folder: &Path, guests: Guests, room: &[&str]) -> Option<Weed> {
        let program = parts::foreign("TRANSLOAD_WEED")?;
        let folder = folder.join("weed");
        std::fs::create_dir_all(&folder).expect("the site can be written");
        let (certificate, key, pin) = certificate(&folder);
        let config = folder.join("s3.json");
        let identity = format!(
            "{{\"identities\":[{{\"name\":\"admin\",\"credentials\":[{{\"accessKey\":\"{ACCESS_KEY}\",\"secretKey\":\"{SECRET_KEY}\"}}],\"actions\":[\"Read\",\"List\",\"Tagging\",\"Write\"]}}]}}"
        );
        std::fs::write(&config, identity).expect("the site can be written");
        let ports = Ports::free();
        let log = std::fs::File::create(folder.join("log")).expect("the site can be written");
        let mut command = Command::new(program);
        command
            .args(["-logdir".to_owned(), folder.display().to_string(), "server".to_owned()])
            .arg(format!("-dir={}", folder.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args(room)
            .args([
                "-s3.port.iceberg=0".to_owned(),
                "-s3.port.lance=0".to_owned(),
                format!("-master.port={}", ports.master),
                format!("-volume.port={}", ports.volume),
            ])
            .args([format!("-filer.port={}", ports.filer), format!("-s3.port={}", ports.plain), format!("-s3.port.https={}", ports.tls)])
            .args((guests == Guests::Known).then(|| format!("-s3.config={}", config.display())))
            .arg(format!("-s3.cert.file={}", certificate.display()))
            .arg(format!("-s3.key.file={}", key.display()))
            .current_dir(&folder);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("weed starts");
        let (plain, tls) = (format!("http://127.0.0.1:{}", ports.plain), format!("https://127.0.0.1:{}", ports.tls));
        Some(Weed { child, added: Vec::new(), folder, ports, plain, tls, pin })
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An agent whose store is this server, at one of its URLs, below a prefix of its own.
    pub fn setup(&self, site: &Site, url: &str, name: &str, vms: &[&str]) -> Setup {
        let secret = secret_file(&site.folder().join("weed.secret-key"), SECRET_KEY);
        let pinned = || format!("trust = {{ pin = \"{}\" }}", self.pin);
        let reached = if url.starts_with("https") { pinned() } else { "plaintext = true".to_owned() };
        let sink = s3_sink(url, BUCKET, ACCESS_KEY, &secret, &reached);
        let sink = sink.replace("access-key =", &format!("prefix = \"{name}\", access-key ="));
        Setup { sink, ..site.setup(vms).beside(name) }
    }

    /// Writes into the bucket, past every signature, until nothing more fits.
    pub fn fill(&self) {
        // What could be compressed would never end.
        let mut body = vec![0; 1 << 20];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut body);
        let taken = (0..200).take_while(|number| self.ask_filer("PUT", &format!("/buckets/{BUCKET}/filler-{number}"), &body)).count();
        assert!((1..200).contains(&taken), "{taken} MiB went into a small store");
    }

    /// Another disk beside the full one.
    pub fn add_room(&mut self) {
        let folder = self.folder.join("more");
        std::fs::create_dir_all(&folder).expect("the site can be written");
        let log = std::fs::File::create(folder.join("log")).expect("the site can be written");
        let mut command = Command::new(parts::foreign("TRANSLOAD_WEED").expect("it ran before"));
        command
            .args(["-logdir".to_owned(), folder.display().to_string(), "volume".to_owned()])
            .args([format!("-dir={}", folder.display()), "-max=20".to_owned(), "-ip=127.0.0.1".to_owned(), "-ip.bind=127.0.0.1".to_owned()])
            .args([format!("-port={}", self.ports.more), format!("-master=127.0.0.1:{}", self.ports.master)]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("weed starts");
        self.added.push(child);
    }

    /// Puts an object into the bucket of a server that asks for no login.
    pub fn put(&self, key: &str, body: &[u8]) {
        put(&self.plain, key, body);
    }

    /// The keys of the bucket that begin so, as the server lists them.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = ask(self.ports.plain, "GET", &format!("/{BUCKET}?list-type=2&prefix={prefix}"), b"").expect("it lists");
        assert!(listed.contains("<IsTruncated>false"), "{listed}");
        listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }

    /// Whether the filer took it. A bucket is a folder of the filer; written there, nothing needs a signature.
    fn ask_filer(&self, method: &str, path: &str, body: &[u8]) -> bool {
        ask(self.ports.filer, method, path, body).is_some_and(|answer| answer.contains(" 201 "))
    }

    /// Waits until it serves; false when it ended.
    async fn is_ready(&mut self) -> bool {
        for _ in 0..600 {
            if self.child.try_wait().expect("the child is ours").is_some() {
                return false;
            }
            let listens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if listens(self.ports.plain) && listens(self.ports.filer) && self.ask_filer("POST", &format!("/buckets/{BUCKET}/"), b"") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("weed did not come up within a minute");
    }
}

/// The same, for whoever has only the server's URL.
pub fn put(url: &str, key: &str, body: &[u8]) {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a URL of a server of ours");
    let taken = ask(port, "PUT", &format!("/{BUCKET}/{key}"), body);
    assert!(taken.as_deref().is_some_and(|answer| answer.contains(" 200 ")), "{key} was not taken: {taken:?}");
}

/// One exchange without a login, and what was answered; none where nobody answers.
fn ask(port: u16, method: &str, path: &str, body: &[u8]) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut answer = String::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(body));
    asked.and_then(|()| stream.read_to_string(&mut answer)).ok().map(|_| answer)
}

/// A self-made certificate for 127.0.0.1; its files, and its fingerprint.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let pem = |kind: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is text")).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    };
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).expect("the site can be written");
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).expect("the site can be written");
    let pin: String = Sha256::digest(made.cert.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    (certificate, key, format!("sha256:{pin}"))
}
