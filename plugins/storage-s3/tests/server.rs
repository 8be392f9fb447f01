//! The store against a real S3 server that knows the access key "AK" with the secret "SK" as its administrator (SeaweedFS in CI).
//!
//! Skipped, loudly, when TRANSLOAD_S3_URL is not set; with TRANSLOAD_FORBID_SKIP set, that is a failure.

use std::io::Write;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use storage_s3::address::Target;
use storage_s3::settings::{Checksum, Payload, Settings};
use storage_s3::sign::{Signer, UNSIGNED, moment};
use storage_s3::store::Store;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{BodyPart, Extent, Method, Request, Response};
use transload_guest::ports::{Clock, Http, SecretForm, Secrets};
use transload_guest::store::{Body, Digest, Digests, Incoming, Transfer};

/// What the host does for the plugin.
struct Network {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    secret: &'static str,
    /// Added to the clock.
    skew: i64,
}

impl Network {
    fn new(secret: &'static str, skew: i64) -> Network {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Network { runtime, client: reqwest::Client::new(), secret, skew }
    }

    fn exchange(&self, request: &Request, body: Vec<u8>, range: Option<Extent>) -> Response {
        let method = reqwest::Method::from_bytes(request.method.word().as_bytes()).unwrap();
        let headers = request.headers.iter();
        let mut sending = headers.fold(self.client.request(method, &request.url), |sending, (name, value)| sending.header(name, value));
        if let Some(range) = range {
            sending = sending.header("range", format!("bytes={}-{}", range.offset, range.end() - 1));
        }
        self.runtime.block_on(async {
            let response = sending.body(body).send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            Response { status, headers, body: response.bytes().await.unwrap().to_vec() }
        })
    }
}

impl Http for Network {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        let bytes = body.iter().flat_map(|part| match part {
            BodyPart::Bytes(bytes) => bytes.clone(),
            BodyPart::Secret { .. } => panic!("S3 puts no secret into a body"),
        });
        Ok(self.exchange(request, bytes.collect(), None))
    }
}

impl Secrets for Network {
    fn sign_chain(&self, _: &str, _: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        let mut key = [prefix, self.secret.as_bytes()].concat();
        for step in steps {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(step);
            key = mac.finalize().into_bytes().to_vec();
        }
        Ok(key)
    }
}

impl Clock for Network {
    #[allow(clippy::disallowed_methods, reason = "this is the host's part, and the server's clock is real")]
    fn now(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        now.saturating_add_signed(self.skew)
    }
}

struct Sealed(Vec<u8>, Option<Vec<u8>>);

impl Body for Sealed {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Digests for Sealed {
    fn digest(&self, digest: Digest) -> Result<Vec<u8>, Fault> {
        let wrong = self.1.clone();
        Ok(match digest {
            Digest::Md5 => return Err(Fault::unsupported("S3 is never told an MD5.")),
            Digest::Sha256 => Sha256::digest(&self.0).to_vec(),
            Digest::Crc32c => wrong.unwrap_or_else(|| crc32c::crc32c(&self.0).to_be_bytes().to_vec()),
        })
    }
}

#[derive(Debug)]
struct Arrived(Response);

impl Incoming for Arrived {
    fn status(&self) -> u16 {
        self.0.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name).map(str::to_owned)
    }

    fn length(&self) -> Option<u64> {
        Some(self.0.body.len() as u64)
    }

    fn fault_body(&self) -> Result<Vec<u8>, Fault> {
        Ok(self.0.body.clone())
    }
}

impl Transfer for Network {
    type Body = Sealed;
    type Incoming = Arrived;

    fn put(&self, request: &Request, body: &Sealed) -> Result<Response, Fault> {
        Ok(self.exchange(request, body.0.clone(), None))
    }

    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Arrived, Fault> {
        Ok(Arrived(self.exchange(request, Vec::new(), range)))
    }
}

fn settings(url: &str, bucket: &str) -> Settings {
    let json = format!(r#"{{"endpoint":"{url}","region":"us-east-1","bucket":"{bucket}","access-key":"AK","prefix":"site a/+"}}"#);
    Settings::parse(&json).unwrap()
}

/// A bucket of its own for each test, so that they may run beside each other and again.
fn with_server(bucket: &str, work: impl FnOnce(&Network, &Settings)) {
    let Ok(url) = std::env::var("TRANSLOAD_S3_URL") else {
        assert!(std::env::var_os("TRANSLOAD_FORBID_SKIP").is_none(), "TRANSLOAD_S3_URL is not set, and skipping is forbidden");
        // The macros' output of a test that passes is swallowed; this is not.
        let _ = writeln!(std::io::stderr(), "SKIPPED: TRANSLOAD_S3_URL is not set");
        return;
    };
    let network = Network::new("SK", 0);
    let settings = settings(&url, &format!("{bucket}-{}", std::process::id()));
    let signer = Signer { access_key: "AK", secret: "", region: "us-east-1", service: "s3", moment: moment(network.now()).unwrap() };
    let headers = vec![("x-amz-content-sha256".to_owned(), UNSIGNED.to_owned()), ("x-amz-date".to_owned(), signer.moment.clone())];
    let create = signer.sign(&network, Method::Put, &Target::bucket(&settings), headers, UNSIGNED).unwrap();
    assert_eq!(network.exchange(&create, Vec::new(), None).status, 200, "the bucket is made");
    work(&network, &settings);
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed(bytes.to_vec(), None)
}

#[test]
fn objects_are_created_once_read_in_parts_listed_and_deleted() {
    with_server("objects", |network, settings| {
        let store = Store { host: network, settings };
        store.put("vm/a", &sealed(b"0123456789")).unwrap();
        assert_eq!(store.put("vm/a", &sealed(b"other")).unwrap_err().kind, FaultKind::Conflict);
        assert_eq!(store.head("vm/a"), Ok(Some(10)));
        assert_eq!(store.head("vm/none"), Ok(None));
        assert_eq!(store.get("vm/a", None).unwrap().0.body, b"0123456789");
        assert_eq!(store.get("vm/a", Some(Extent::new(3, 4))).unwrap().0.body, b"3456");
        for range in [Extent::new(8, 4), Extent::new(10, 1)] {
            assert_eq!(store.get("vm/a", Some(range)).unwrap_err().kind, FaultKind::Invalid, "{range:?}");
        }
        assert_eq!(store.get("vm/none", None).unwrap_err().kind, FaultKind::NotFound);
        store.put("vm/b", &sealed(b"b")).unwrap();
        let keys = |prefix: &str| store.entries(prefix, None).unwrap().entries.into_iter().map(|e| (e.key, e.size)).collect::<Vec<_>>();
        assert_eq!(keys("vm/"), [("vm/a".to_owned(), 10), ("vm/b".to_owned(), 1)]);
        let gone = ["vm/a", "vm/never", "vm/b"].map(String::from);
        assert!(store.delete(&gone).unwrap().iter().all(Result::is_ok));
        assert_eq!(keys(""), []);
    });
}

#[test]
fn a_signed_payload_is_accepted_and_a_wrong_checksum_is_corrupt() {
    with_server("digests", |network, settings| {
        let mut signed = settings.clone();
        (signed.payload, signed.checksum) = (Payload::Signed, Checksum::None);
        Store { host: network, settings: &signed }.put("a", &sealed(b"abc")).unwrap();
        let wrong = Sealed(b"abc".to_vec(), Some(vec![1, 2, 3, 4]));
        let store = Store { host: network, settings };
        assert_eq!(store.put("b", &wrong).unwrap_err().kind, FaultKind::Corrupt);
        assert_eq!(store.head("b"), Ok(None), "nothing was kept of it");
    });
}

#[test]
fn wrong_keys_clocks_and_buckets_say_what_to_check() {
    with_server("refusals", |network, settings| {
        let mut unknown = settings.clone();
        unknown.access_key = "NOBODY".into();
        let mut missing = settings.clone();
        missing.bucket = "no-such-bucket".into();
        let (forged, late) = (Network::new("wrong", 0), Network::new("SK", -3 * 3600));
        for (network, settings, kind, word) in [
            (&forged, settings, FaultKind::Auth, "signature of access key AK"),
            (&late, settings, FaultKind::Auth, "clocks differ"),
            (network, &unknown, FaultKind::Auth, "does not know the access key NOBODY"),
            (network, &missing, FaultKind::NotFound, "no bucket no-such-bucket"),
        ] {
            let fault = Store { host: network, settings }.entries("", None).unwrap_err();
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.message.contains(word), "{} lacks {word}", fault.message);
        }
    });
}

#[test]
fn a_thousand_keys_and_more_are_listed_in_pages_and_deleted_in_batches() {
    with_server("pages", |network, settings| {
        let store = Store { host: network, settings };
        let keys: Vec<String> = (0..1003).map(|n| format!("k/{n:05}")).collect();
        for key in &keys {
            store.put(key, &sealed(b"x")).unwrap();
        }
        let first = store.entries("k/", None).unwrap();
        let second = store.entries("k/", Some(first.next.as_deref().unwrap())).unwrap();
        assert_eq!((first.entries.len(), second.entries.len(), second.next), (1000, 3, None));
        let listed: Vec<String> = first.entries.into_iter().chain(second.entries).map(|entry| entry.key).collect();
        assert_eq!(listed, keys);
        for batch in keys.chunks(1000) {
            assert!(store.delete(batch).unwrap().iter().all(Result::is_ok));
        }
        assert_eq!(store.entries("", None).unwrap().entries, []);
    });
}
