//! A TLS server that answers as the path says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use transload::net::Pin;

type Body = BoxBody<Bytes, std::io::Error>;

/// What a client sent: "METHOD /path", the headers it chose, and the body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct Heard {
    pub asked: Mutex<Vec<Asked>>,
    objects: Mutex<BTreeMap<String, Bytes>>,
}

pub struct Server {
    pub scheme: &'static str,
    pub address: SocketAddr,
    pub heard: Arc<Heard>,
    /// The authority that signed the certificate, as a PEM file.
    pub ca_file: PathBuf,
    pub pin: Pin,
}

/// The content of /disk: 1 MiB in which every byte tells where it is from.
pub fn disk() -> Vec<u8> {
    (0..1u32 << 20).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}

impl Server {
    pub async fn start(folder: &Path) -> Server {
        let (ca_file, certificate, key) = certificate(folder);
        let pin = Pin::of(&certificate);
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, server) = Server::listen("https", ca_file, pin).await;
        let heard = server.heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), heard.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, heard).await;
                    }
                });
            }
        });
        server
    }

    pub async fn start_plain(folder: &Path) -> Server {
        let (ca_file, certificate, _) = certificate(folder);
        let (listener, server) = Server::listen("http", ca_file, Pin::of(&certificate)).await;
        let heard = server.heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, heard.clone()));
            }
        });
        server
    }

    async fn listen(scheme: &'static str, ca_file: PathBuf, pin: Pin) -> (TcpListener, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, Server { scheme, address, heard: Arc::default(), ca_file, pin })
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.heard.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, heard: Arc<Heard>) {
    let answer = |request| answer(heard.clone(), request);
    let service = hyper::service::service_fn(answer);
    // A client that hangs up is no failure of the server.
    let _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn certificate(folder: &Path) -> (PathBuf, rustls::pki_types::CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (ca_file, leaf.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()))
}

async fn answer(heard: Arc<Heard>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let headers: Vec<(String, String)> =
        request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    heard.asked.lock().unwrap().push(Asked { line: format!("{method} {path}"), headers: headers.clone(), body: body.to_vec() });
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let range = header("range").map(parse_range);
    if path.contains("slow") {
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    Ok(match path.as_str() {
        "/login" => whole(200, "welcome"),
        "/headers" => {
            let shown: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            whole(200, &shown.join("\n"))
        }
        "/disk" => ranged(&disk(), range),
        "/whole" => whole(200, "everything"),
        "/other-range" => ranged(&disk(), range.map(|(first, last)| (first + 1, last + 1))),
        "/cut" => cut(range.unwrap()),
        "/late" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ranged(&disk(), range)
        }
        "/drip" => drip(range.unwrap()),
        "/more" => uncounted(range.unwrap(), 1),
        "/fewer" => uncounted(range.unwrap(), -1),
        "/expired" => whole(401, ""),
        "/gone" => whole(404, ""),
        "/busy" => with_header(whole(503, ""), "retry-after", "3"),
        "/moved" => with_header(whole(302, ""), "location", "https://elsewhere.invalid/disk"),
        "/moved/on" => with_header(whole(302, ""), "location", &format!("https://{}/moved", header("host").unwrap())),
        "/moved/round" => with_header(whole(302, ""), "location", &format!("https://{}/moved/round", header("host").unwrap())),
        "/moved/inside" => with_header(whole(302, ""), "location", "http://169.254.169.254/latest/meta-data"),
        "/long" => whole(200, &"x".repeat(9 << 20)),
        "/never" => std::future::pending().await,
        "/o/bad/huge" => declared((64 << 20) + 1),
        "/o/bad/endless" => endless(),
        name if name.starts_with("/names/") => named(&heard, &method, name, body),
        _ => object(&heard, &method, &path, body, range, header("x-sha256")),
    })
}

/// A text under a name, which whoever comes later replaces.
fn named(heard: &Heard, method: &Method, name: &str, body: Bytes) -> Response<Body> {
    let mut objects = heard.objects.lock().unwrap();
    if method == Method::PUT {
        objects.insert(name.to_owned(), body);
        return whole(200, "");
    }
    bytes(200, objects.get(name).map_or_else(|| b"192.0.2.1".to_vec(), |text| text.to_vec()))
}

fn object(heard: &Heard, method: &Method, key: &str, body: Bytes, range: Option<(u64, u64)>, sha256: Option<&str>) -> Response<Body> {
    let mut objects = heard.objects.lock().unwrap();
    let known = objects.get(key).cloned();
    match (method.as_str(), known) {
        ("PUT", Some(_)) => whole(412, "it exists"),
        ("PUT", None) => {
            let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sha256, Some(digest.as_str()));
            objects.insert(key.to_owned(), body);
            whole(200, "")
        }
        ("DELETE", _) => {
            objects.remove(key);
            whole(204, "")
        }
        (_, None) => whole(404, "no such object"),
        ("HEAD", Some(known)) => with_header(whole(200, ""), "content-length", &known.len().to_string()),
        (_, Some(known)) => ranged(&known, range),
    }
}

fn parse_range(text: &str) -> (u64, u64) {
    let (first, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

fn ranged(content: &[u8], range: Option<(u64, u64)>) -> Response<Body> {
    let Some((first, last)) = range else { return bytes(200, content.to_vec()) };
    if last >= content.len() as u64 {
        return whole(416, "past the end");
    }
    let part = bytes(206, content[first as usize..=last as usize].to_vec());
    with_header(part, "content-range", &format!("bytes {first}-{last}/{}", content.len()))
}

/// Declares the whole length and breaks off in the middle.
fn cut((first, last): (u64, u64)) -> Response<Body> {
    let length = last - first + 1;
    let some = Bytes::from(vec![1; length as usize / 2]);
    let broken = std::io::Error::other("cut");
    let stream = futures::stream::iter([Ok(Frame::data(some)), Err(broken)]);
    let body = BodyExt::boxed(StreamBody::new(stream.then(async |frame| frame)));
    let head = Response::builder().status(206).header("content-length", length);
    head.header("content-range", format!("bytes {first}-{last}/*")).body(body).unwrap()
}

/// Sends a byte now and then, for ever: often enough that no silence is noticed.
fn drip((first, last): (u64, u64)) -> Response<Body> {
    let bytes = futures::stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Frame::data(Bytes::from_static(&[1])))
    });
    let head = Response::builder().status(206).header("content-length", last - first + 1);
    head.header("content-range", format!("bytes {first}-{last}/*")).body(BodyExt::boxed(StreamBody::new(bytes))).unwrap()
}

/// As many bytes more or fewer than the head says, in chunks that tell no length.
fn uncounted((first, last): (u64, u64), more: i64) -> Response<Body> {
    let length = (last - first + 1).checked_add_signed(more).unwrap();
    let all = futures::stream::iter([Ok(Frame::data(Bytes::from(vec![1; length as usize])))]);
    let head = Response::builder().status(206).header("content-range", format!("bytes {first}-{last}/*"));
    head.body(BodyExt::boxed(StreamBody::new(all))).unwrap()
}

/// Declares so many bytes and sends none.
fn declared(length: u64) -> Response<Body> {
    let silence = futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
    Response::builder().status(200).header("content-length", length).body(BodyExt::boxed(StreamBody::new(silence))).unwrap()
}

/// Sends and never stops.
fn endless() -> Response<Body> {
    let bytes = Bytes::from(vec![1; 1 << 20]);
    let stream = futures::stream::repeat(()).map(move |()| Ok(Frame::data(bytes.clone())));
    Response::builder().status(200).body(BodyExt::boxed(StreamBody::new(stream))).unwrap()
}

fn whole(status: u16, text: &str) -> Response<Body> {
    bytes(status, text.as_bytes().to_vec())
}

fn bytes(status: u16, content: Vec<u8>) -> Response<Body> {
    Response::builder().status(status).body(Full::from(content).map_err(|never| match never {}).boxed()).unwrap()
}

fn with_header(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}
