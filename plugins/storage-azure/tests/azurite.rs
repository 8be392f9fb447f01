//! The store against Azurite, the emulator of Azure Blob Storage that Microsoft writes. Each test starts one of its own.
//!
//! Skipped, loudly, when TRANSLOAD_AZURITE does not name the program `azurite-blob`; with TRANSLOAD_FORBID_SKIP set, that is a failure.
//! `cargo xtask test --only spine` installs it and says where it is.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sha2::Sha256;
use storage_azure::address::Target;
use storage_azure::ports::AccountKey;
use storage_azure::settings::{Login, Settings};
use storage_azure::sign::{Draft, sign};
use storage_azure::store::Store;
use tempfile::TempDir;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{Auth, BodyPart, Extent, Method, Request, Response};
use transload_guest::ports::{Clock, Http};
use transload_guest::store::{Body, Incoming, Transfer};

const ACCOUNT: &str = "transload1";
const KEY: &str = "dGhlIGtleSBvZiBhbiBhY2NvdW50IHRoYXQgbGl2ZXMgZm9yIG9uZSB0ZXN0";
const OTHER_ACCOUNT: &str = "transload2";
const OTHER_KEY: &str = "dGhlIGtleSBvZiBzb21lIG90aGVyIGFjY291bnQ=";

/// A running emulator with two accounts; it ends with this value.
struct Azurite {
    server: Child,
    // It is told to be silent, but what it says all the same must have somewhere to go.
    _said: BufReader<ChildStdout>,
    _folder: TempDir,
    url: String,
}

impl Azurite {
    /// `None` where the program is not there.
    fn start() -> Option<Azurite> {
        let Some(program) = std::env::var_os("TRANSLOAD_AZURITE") else {
            let why = "TRANSLOAD_AZURITE is not set: `cargo xtask test --only spine` provides it";
            assert!(std::env::var_os("TRANSLOAD_FORBID_SKIP").is_none(), "skipping is forbidden: {why}");
            // The macros' output of a test that passes is swallowed; this is not.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        // Port 0: the system chooses a free one, and the emulator says which. Without the last option it reports to its makers.
        command.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--silent", "--disableTelemetry", "--location"]).arg(folder.path());
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY};{OTHER_ACCOUNT}:{OTHER_KEY}")).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("Azurite starts");
        let mut said = BufReader::new(server.stdout.take().expect("piped"));
        let url = listening(&mut said);
        let running = Azurite { server, _said: said, _folder: folder, url: url.unwrap_or_default() };
        assert!(!running.url.is_empty(), "Azurite ended before it said where it listens");
        Some(running)
    }

    fn settings(&self, container: &str) -> Settings {
        settings(&self.url, ACCOUNT, container)
    }

    /// The account at an address of its own, as Azure gives them.
    fn settings_at(&self, account: &str, host: &str) -> Settings {
        let port = self.url.rsplit(':').next().unwrap();
        let json = format!(r#"{{"endpoint":"http://{host}.blob.localhost:{port}","account":"{account}","container":"replication"}}"#);
        Settings::parse(&json).unwrap()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The address in "… successfully listens on http://127.0.0.1:34567".
fn listening(said: &mut impl BufRead) -> Option<String> {
    said.lines().map_while(Result::ok).find_map(|line| line.split_once("listens on ").map(|(_, url)| url.trim().to_owned()))
}

fn settings(url: &str, account: &str, container: &str) -> Settings {
    let json = format!(r#"{{"endpoint":"{url}","account":"{account}","container":"{container}","prefix":"site a/+","addressing":"path"}}"#);
    Settings::parse(&json).unwrap()
}

struct Nearby;

impl Resolve for Nearby {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(async { Ok(Box::new([SocketAddr::from(([127, 0, 0, 1], 0))].into_iter()) as Addrs) })
    }
}

/// What the host does for the plugin.
struct Network {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    key: &'static str,
    /// The secret `sas`.
    shared_access: String,
}

impl Network {
    fn new(key: &'static str) -> Network {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Every name is the emulator's: what a name server would say is not what is tried here.
        let client = reqwest::Client::builder().dns_resolver(Arc::new(Nearby)).build().unwrap();
        Network { runtime, client, key, shared_access: String::new() }
    }

    fn exchange(&self, request: &Request, body: Vec<u8>, range: Option<Extent>) -> Response {
        let method = reqwest::Method::from_bytes(request.method.word().as_bytes()).unwrap();
        let url = match &request.auth {
            Auth::Query(name) => {
                assert_eq!(name, "sas");
                format!("{}{}{}", request.url, if request.url.contains('?') { '&' } else { '?' }, self.shared_access)
            }
            _ => request.url.clone(),
        };
        let headers = request.headers.iter();
        let mut sending = headers.fold(self.client.request(method, &url), |sending, (name, value)| sending.header(name, value));
        if let Some(range) = range {
            sending = sending.header("range", format!("bytes={}-{}", range.offset, range.end() - 1));
        }
        if request.method == Method::Put {
            sending = sending.header("content-length", body.len());
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
        assert!(body.is_empty(), "no small exchange with Azure has a body");
        Ok(self.exchange(request, Vec::new(), None))
    }
}

impl AccountKey for Network {
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(self.key).unwrap()).unwrap();
        mac.update(text.as_bytes());
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl Clock for Network {
    #[allow(clippy::disallowed_methods, reason = "this is the host's part, and the server's clock is real")]
    fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }
}

struct Sealed(Vec<u8>);

impl Body for Sealed {
    fn length(&self) -> u64 {
        self.0.len() as u64
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

/// A fresh emulator with an empty container.
fn with_container(work: impl FnOnce(&Azurite, &Network, &Settings)) {
    let Some(azurite) = Azurite::start() else { return };
    let (network, settings) = (Network::new(KEY), azurite.settings("replication"));
    make_container(&network, &settings);
    work(&azurite, &network, &settings);
}

fn make_container(network: &Network, settings: &Settings) {
    let create = Draft::new(Method::Put, Target::container(settings).with("restype", "container"));
    let create = sign(network, &settings.account, create, network.now()).unwrap();
    assert_eq!(network.exchange(&create, Vec::new(), None).status, 201, "the container is made");
}

#[test]
fn two_accounts_are_two_stores_and_the_key_of_one_opens_no_other() {
    with_container(|azurite, network, _| {
        let other_network = Network::new(OTHER_KEY);
        let (one, other) = (azurite.settings_at(ACCOUNT, ACCOUNT), azurite.settings_at(OTHER_ACCOUNT, OTHER_ACCOUNT));
        make_container(&other_network, &other);
        let (first, second) = (Store { host: network, settings: &one }, Store { host: &other_network, settings: &other });
        first.put("vm/a", &sealed(b"of the first")).unwrap();
        assert_eq!(second.head("vm/a"), Ok(None));
        second.put("vm/a", &sealed(b"of the second")).unwrap();
        assert_eq!(first.get("vm/a", None).unwrap().0.body, b"of the first");
        assert_eq!(second.get("vm/a", None).unwrap().0.body, b"of the second");
        for (host, settings) in [(network, &other), (&other_network, &one)] {
            assert_eq!(Store { host, settings }.head("vm/a").unwrap_err().kind, FaultKind::Denied);
        }
    });
}

/// The secondary's name is not the account's, and is signed as the account all the same.
#[test]
fn an_account_is_the_same_at_each_of_its_addresses() {
    with_container(|azurite, network, _| {
        let at = |host: &str| azurite.settings_at(ACCOUNT, host);
        Store { host: network, settings: &at(ACCOUNT) }.put("vm/a", &sealed(b"0123456789")).unwrap();
        for host in [ACCOUNT, "transload1-secondary", "transload1.privatelink", "transload1.z01"] {
            let settings = at(host);
            let store = Store { host: network, settings: &settings };
            assert_eq!(store.get("vm/a", Some(Extent::new(3, 4))).unwrap().0.body, b"3456", "{host}");
            assert_eq!(store.head("vm/a"), Ok(Some(10)), "{host}");
            assert_eq!(store.entries("vm/", None).unwrap().entries.len(), 1, "{host}");
            assert!(store.product().unwrap().contains(host), "{host}");
        }
    });
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed(bytes.to_vec())
}

#[test]
fn objects_are_created_once_read_in_parts_listed_and_deleted() {
    with_container(|_, network, settings| {
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

/// Its length is signed as nothing, though the header says 0.
#[test]
fn an_object_without_a_byte_is_an_object() {
    with_container(|_, network, settings| {
        let store = Store { host: network, settings };
        store.put("vm/empty", &sealed(b"")).unwrap();
        assert_eq!(store.head("vm/empty"), Ok(Some(0)));
        assert_eq!(store.get("vm/empty", None).unwrap().0.body, b"");
        assert_eq!(store.put("vm/empty", &sealed(b"")).unwrap_err().kind, FaultKind::Conflict);
    });
}

#[test]
fn of_many_creates_at_once_exactly_one_succeeds() {
    with_container(|_, network, settings| {
        for round in 0..10 {
            let key = format!("vm/{round}");
            let create = |name: u8| Store { host: &Network::new(KEY), settings }.put(&key, &sealed(&[name; 1000]));
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                let creates: Vec<_> = (0..8).map(|name| scope.spawn(move || (name, create(name)))).collect();
                creates.into_iter().map(|create| create.join().unwrap()).collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
            assert!(lost.iter().all(|(_, outcome)| outcome.as_ref().unwrap_err().kind == FaultKind::Conflict), "{lost:?}");
            assert_eq!(won.len(), 1);
            assert_eq!(Store { host: network, settings }.get(&key, None).unwrap().0.body, [won[0].0; 1000]);
        }
    });
}

#[test]
fn wrong_keys_and_containers_say_what_to_check() {
    with_container(|azurite, network, settings| {
        let forged = Network::new(OTHER_KEY);
        let missing = azurite.settings("no-such-container");
        for (network, settings, kind, word) in [
            // Azure has another code for it, which is scripted in the unit tests.
            (&forged, settings, FaultKind::Denied, "that the account key belongs to it"),
            (network, &missing, FaultKind::NotFound, "no container no-such-container"),
        ] {
            let store = Store { host: network, settings };
            let faults = [
                store.put("vm/a", &sealed(b"x")).unwrap_err(),
                store.get("vm/a", None).unwrap_err(),
                store.head("vm/a").unwrap_err(),
                store.entries("", None).unwrap_err(),
                store.delete(&["vm/a".to_owned()]).and_then(|mut verdicts| verdicts.remove(0)).unwrap_err(),
            ];
            for fault in faults {
                assert_eq!(fault.kind, kind, "{fault}");
                assert!(fault.message.contains(word), "{} lacks {word}", fault.message);
            }
        }
        assert!(Store { host: &forged, settings }.product().unwrap_err().message.contains("account key"));
    });
}

#[test]
fn the_emulator_says_what_it_is() {
    with_container(|azurite, network, settings| {
        let product = Store { host: network, settings }.product().unwrap();
        let expected = format!("Azure Blob Storage at {}, container replication (Azurite-Blob/", azurite.url);
        assert!(product.starts_with(&expected) && product.contains("version 20"), "{product}");
    });
}

#[test]
fn a_thousand_keys_and_more_are_listed_in_pages_and_deleted() {
    with_container(|_, network, settings| {
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

/// A service SAS of one container, as Microsoft describes it ("Create a service SAS", version 2020-12-06 and later).
fn shared_access(network: &Network, container: &str, permissions: &str, expiry: &str) -> String {
    let version = "2021-12-02";
    let signed = [permissions, "", expiry, &format!("/blob/{ACCOUNT}/{container}"), "", "", "", version, "c", "", "", "", "", "", "", ""];
    let signature = STANDARD.encode(network.mac(&signed.join("\n")).unwrap());
    let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&sr=c&sp={permissions}&se={}&sig={encoded}", expiry.replace(':', "%3A"))
}

#[test]
fn a_shared_access_signature_is_enough_for_everything_that_a_sink_does() {
    with_container(|_, network, settings| {
        let settings = &Settings { login: Login::SharedAccess, ..settings.clone() };
        let with = |permissions: &str, expiry: &str| Network {
            shared_access: shared_access(network, "replication", permissions, expiry),
            // Nothing may be signed with it.
            ..Network::new(OTHER_KEY)
        };
        let network = with("racwdl", "2100-01-01T00:00:00Z");
        let store = Store { host: &network, settings };
        assert!(store.product().unwrap().starts_with("Azure Blob Storage at "));
        store.put("vm/a", &sealed(b"0123456789")).unwrap();
        assert_eq!(store.put("vm/a", &sealed(b"other")).unwrap_err().kind, FaultKind::Conflict);
        assert_eq!(store.get("vm/a", Some(Extent::new(3, 4))).unwrap().0.body, b"3456");
        assert_eq!((store.head("vm/a"), store.head("vm/none")), (Ok(Some(10)), Ok(None)));
        assert_eq!(store.entries("vm/", None).unwrap().entries.len(), 1);

        let ended = with("racwdl", "2020-01-01T00:00:00Z");
        let fault = Store { host: &ended, settings }.head("vm/a").unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Auth | FaultKind::Denied), "{fault}");
        let reading = with("rl", "2100-01-01T00:00:00Z");
        let fault = Store { host: &reading, settings }.put("vm/b", &sealed(b"b")).unwrap_err();
        assert!(fault.kind == FaultKind::Denied && fault.message.contains("it needs read, add, create, write, delete and list"), "{fault}");
        assert!(store.delete(&["vm/a".to_owned()]).unwrap()[0].is_ok());
    });
}
