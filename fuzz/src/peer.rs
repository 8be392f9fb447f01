//! A vCenter that says what it is told: it lets anybody in, and then answers one question with the bytes under test.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::LazyLock;

use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Request, Response};
use transload_guest::ports::{Entry, Http, Sessions};
use transload_guest::xml::XSI;
use vmware_cbt::session::Vcenter;
use vmware_cbt::settings::Settings;

const VERSIONS: &str = "<namespaces><namespace><name>urn:vim25</name><version>8.0.2.0</version></namespace></namespaces>";
const CONTENT: &str = r#"<RetrieveServiceContentResponse><returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">pc</propertyCollector><viewManager type="ViewManager">vm</viewManager><sessionManager type="SessionManager">sm</sessionManager></returnval></RetrieveServiceContentResponse>"#;

/// What stands in the volatile store after a login; it is made once, for a fuzzer has no time for it.
static LOGGED_IN: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let door = Door::default();
    let held = Vcenter { http: &door, sessions: &door.memory, settings: settings() }.held();
    assert!(held.is_ok(), "anybody may log in");
    door.memory.entries.borrow().iter().map(|(name, entry)| (name.clone(), entry.value.clone())).collect()
});

fn settings() -> Settings {
    Settings::parse(r#"{"url":"https://vc.test","username":"svc@x"}"#).expect("settings that can be used")
}

pub fn envelope(inner: &str) -> String {
    format!(r#"<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="{XSI}"><S:Body>{inner}</S:Body></S:Envelope>"#)
}

/// A reply to an operation as it goes over the wire.
pub fn answering(operation: &str, inner: &str) -> Vec<u8> {
    envelope(&format!("<{operation}Response>{inner}</{operation}Response>")).into_bytes()
}

/// The first request is answered, and then the line is dead: a reply that asks for another one cannot keep us.
pub struct Once {
    reply: Cell<Option<Response>>,
}

impl Once {
    pub fn answering(status: u16, body: &[u8]) -> Once {
        Once { reply: Cell::new(Some(Response { status, headers: Vec::new(), body: body.to_vec() })) }
    }
}

impl Http for Once {
    fn send(&self, _: &Request, _: &[BodyPart]) -> Result<Response, Fault> {
        self.reply.take().ok_or_else(|| Fault::unavailable("the line is dead"))
    }
}

pub struct Peer {
    http: Once,
    memory: Memory,
}

impl Peer {
    pub fn answering(bytes: &[u8]) -> Peer {
        let memory = Memory::default();
        for (name, value) in LOGGED_IN.iter() {
            let entry = Entry { version: 1, value: value.clone() };
            memory.entries.borrow_mut().insert(name.clone(), entry);
        }
        Peer { http: Once::answering(200, bytes), memory }
    }

    pub fn run<T>(&self, work: impl FnOnce(&Vcenter<'_>) -> T) -> T {
        work(&Vcenter { http: &self.http, sessions: &self.memory, settings: settings() })
    }
}

/// Lets anybody in.
#[derive(Default)]
struct Door {
    memory: Memory,
}

impl Http for Door {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        let asks = |operation: &str| {
            body.iter().any(|part| matches!(part, BodyPart::Bytes(bytes) if String::from_utf8_lossy(bytes).contains(operation)))
        };
        let body = match request.url.as_str() {
            "https://vc.test/sdk" if asks("RetrieveServiceContent") => envelope(CONTENT),
            "https://vc.test/sdk" => envelope("<LoginResponse/>"),
            _ => VERSIONS.to_owned(),
        };
        let headers = vec![("set-cookie".to_owned(), "vmware_soap_session=\"s\"".to_owned())];
        Ok(Response { status: 200, headers, body: body.into_bytes() })
    }
}

/// The host's volatile store, for one instance.
#[derive(Default)]
struct Memory {
    entries: RefCell<BTreeMap<String, Entry>>,
}

impl Sessions for Memory {
    fn get(&self, name: &str) -> Option<Entry> {
        self.entries.borrow().get(name).cloned()
    }

    fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
        let version = expected.unwrap_or(0) + 1;
        self.entries.borrow_mut().insert(name.to_owned(), Entry { version, value: value.to_vec() });
        Ok(version)
    }
}
