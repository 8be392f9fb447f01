//! SeaweedFS as a process: an S3 server that others wrote, with authentication, plain and over TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use sha2::{Digest, Sha256};

use crate::parts;

pub const ACCESS_KEY: &str = "WEEDACCESSKEY";
pub const SECRET_KEY: &str = "weed/secret+key/9876543210";
pub const BUCKET: &str = "transload";

/// A running server; it dies with this value.
pub struct Weed {
    child: Child,
    pub plain: String,
    pub tls: String,
    /// SHA-256 of its self-made certificate.
    pub pin: String,
}

impl Drop for Weed {
    fn drop(&mut self) {
        // It takes 20 s to think about a SIGTERM.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports by one number, so that two servers do not clash: each port of weed has a twin 10000 above it.
struct Ports {
    master: u16,
    volume: u16,
    filer: u16,
    plain: u16,
    tls: u16,
}

impl Ports {
    fn free() -> Ports {
        let free = |port: u16| {
            let listens = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
            listens(port) && listens(port + 10_000)
        };
        let start = 20_000 + (std::process::id() % 2000) as u16 * 5;
        let base = (start..start + 4000).step_by(5).find(|base| (*base..*base + 5).all(free));
        let base = base.expect("this machine has free ports");
        Ports { master: base, volume: base + 1, filer: base + 2, plain: base + 3, tls: base + 4 }
    }
}

impl Weed {
    /// Starts a server below the folder and makes the bucket; `None` where the program is not there.
    pub async fn start(folder: &Path) -> Option<Weed> {
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
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=50", "-master.volumeSizeLimitMB=256", "-filer", "-s3"])
            .args(["-s3.port.iceberg=0".to_owned(), format!("-master.port={}", ports.master), format!("-volume.port={}", ports.volume)])
            .args([format!("-filer.port={}", ports.filer), format!("-s3.port={}", ports.plain), format!("-s3.port.https={}", ports.tls)])
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!("-s3.cert.file={}", certificate.display()))
            .arg(format!("-s3.key.file={}", key.display()))
            .current_dir(&folder);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("weed starts");
        let (plain, tls) = (format!("http://127.0.0.1:{}", ports.plain), format!("https://127.0.0.1:{}", ports.tls));
        let mut weed = Weed { child, plain, tls, pin };
        weed.until_ready(ports.plain, ports.filer).await;
        Some(weed)
    }

    async fn until_ready(&mut self, plain: u16, filer: u16) {
        for _ in 0..600 {
            assert!(self.child.try_wait().expect("the child is ours").is_none(), "weed ended while it started");
            let listens = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if listens(plain) && listens(filer) && make_bucket(filer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("weed did not come up within a minute");
    }
}

/// A bucket is a folder of the filer; made there, it needs no signature.
fn make_bucket(filer: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", filer)) else { return false };
    let request = format!("POST /buckets/{BUCKET}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains(" 201 ")
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
