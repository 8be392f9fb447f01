//! A scripted vCenter for the native tests. Replies are written from the public vim25 schema; the prefix of the schema-instance
//! namespace is `i` on purpose, as nobody may rely on another.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Method, Request, Response};
use transload_guest::ports::{Entry, Http, Sessions};
use transload_guest::source::VmRef;
use transload_guest::xml::{self, Element};

use crate::location::Peek;
use crate::session::Vcenter;
use crate::settings::Settings;

pub fn http(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Response { status, headers, body: body.as_bytes().to_vec() }
}

fn envelope(inner: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:i="{}" xmlns:v="urn:vim25"><S:Body>{inner}</S:Body></S:Envelope>"#,
        xml::XSI
    )
}

pub fn soap_fault(kind: &str, message: &str) -> Response {
    soap_fault_with(kind, message, "")
}

pub fn soap_fault_with(kind: &str, message: &str, detail: &str) -> Response {
    let fault = format!(
        r#"<S:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring><detail><RuntimeFaultFault i:type="v:{kind}">{detail}</RuntimeFaultFault></detail></S:Fault>"#
    );
    http(500, &[], &envelope(&fault))
}

/// The outermost element of `xml`, in which `i` is the schema-instance namespace.
pub fn element(xml: &str) -> Element {
    xml::parse(format!(r#"<w xmlns:i="{}">{xml}</w>"#, xml::XSI).as_bytes()).unwrap().children()[0].clone()
}

pub fn disk_xml(key: u32, controller: u32, unit: u32, size: u64, uuid: &str, file: &str, change_id: Option<&str>) -> String {
    let change_id = change_id.map(|id| format!("<changeId>{id}</changeId>")).unwrap_or_default();
    format!(
        r#"<VirtualDevice i:type="v:VirtualDisk"><key>{key}</key><deviceInfo><label>Hard disk {key}</label></deviceInfo>
           <backing i:type="v:VirtualDiskFlatVer2BackingInfo"><fileName>{file}</fileName><diskMode>persistent</diskMode><uuid>{uuid}</uuid>{change_id}</backing>
           <controllerKey>{controller}</controllerKey><unitNumber>{unit}</unitNumber><capacityInKB>{}</capacityInKB><capacityInBytes>{size}</capacityInBytes></VirtualDevice>"#,
        size / 1024
    )
}

pub fn prop(name: &str, value: &str) -> String {
    raw_prop(name, value)
}

pub fn raw_prop(name: &str, value: &str) -> String {
    format!("<propSet><name>{name}</name><val>{value}</val></propSet>")
}

pub fn moref_prop(name: &str, kind: &str, value: &str) -> String {
    format!(r#"<propSet><name>{name}</name><val type="{kind}">{value}</val></propSet>"#)
}

/// The inner part of a reply with these objects: kind, reference, properties.
pub fn objects(objects: &[(&str, &str, &str)]) -> String {
    let objects = objects.iter().map(|(kind, value, props)| format!(r#"<objects><obj type="{kind}">{value}</obj>{props}</objects>"#));
    format!("<returnval>{}</returnval>", objects.collect::<String>())
}

pub fn vm_props(name: &str, uuid: &str, bios: &str) -> String {
    [
        prop("config.instanceUuid", uuid),
        prop("config.uuid", bios),
        prop("name", name),
        prop("runtime.powerState", "poweredOn"),
        raw_prop("config.hardware.device", &disk_xml(2000, 1000, 0, 512, "6000c29a", "[ds] a/a.vmdk", None)),
    ]
    .concat()
}

pub fn vm_ref() -> VmRef {
    VmRef { id: "vm-1".to_owned(), fingerprint: "uuid-1".to_owned() }
}

/// vm-1, with these properties beside its identity.
pub fn vm(props: &str) -> String {
    objects(&[("VirtualMachine", "vm-1", &format!("{}{props}", prop("config.instanceUuid", "uuid-1")))])
}

/// The property `snapshot`, for snapshots of (reference, name, quiesced) beside each other.
pub fn snapshot_prop(snapshots: &[(&str, &str, bool)]) -> String {
    let tree = |(moref, name, quiesced): &(&str, &str, bool)| {
        format!(
            r#"<rootSnapshotList><snapshot type="VirtualMachineSnapshot">{moref}</snapshot><name>{name}</name><quiesced>{quiesced}</quiesced></rootSnapshotList>"#
        )
    };
    raw_prop("snapshot", &snapshots.iter().map(tree).collect::<String>())
}

/// A task's `info`.
pub fn task(state: &str, error: &str) -> String {
    let error = if error.is_empty() {
        String::new()
    } else {
        format!(r#"<error><fault i:type="v:{error}"/><localizedMessage>it failed</localizedMessage></error>"#)
    };
    objects(&[("Task", "task-1", &raw_prop("info", &format!("<key>task-1</key><state>{state}</state>{error}")))])
}

/// The host's volatile store.
#[derive(Default)]
pub struct Memory {
    entries: RefCell<BTreeMap<String, Entry>>,
    versions: Cell<u64>,
}

impl Sessions for Memory {
    fn get(&self, name: &str) -> Option<Entry> {
        self.entries.borrow().get(name).cloned()
    }

    fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
        let mut entries = self.entries.borrow_mut();
        if entries.get(name).map(|entry| entry.version) != expected {
            return Err(Fault::conflict("another instance was faster"));
        }
        self.versions.set(self.versions.get() + 1);
        match value {
            [] => entries.remove(name),
            _ => entries.insert(name.to_owned(), Entry { version: self.versions.get(), value: value.to_vec() }),
        };
        Ok(self.versions.get())
    }
}

/// Replies in a row, for one exchange each.
pub struct Script {
    replies: RefCell<VecDeque<Response>>,
}

impl Script {
    pub fn answering(replies: impl IntoIterator<Item = Response>) -> Script {
        Script { replies: RefCell::new(replies.into_iter().collect()) }
    }
}

impl Http for Script {
    fn send(&self, _: &Request, _: &[BodyPart]) -> Result<Response, Fault> {
        Ok(self.replies.borrow_mut().pop_front().expect("a request that the test did not expect"))
    }
}

struct Rule {
    /// An operation, or a method for requests outside /sdk.
    verb: String,
    needle: String,
    reply: Response,
    used: Cell<bool>,
}

/// One request that the scene saw.
#[derive(Debug, Clone)]
pub struct Seen {
    pub verb: String,
    pub url: String,
    pub body: String,
    pub cookie: Option<String>,
    pub range: Option<Extent>,
}

/// A vCenter that knows its lines: for each operation the replies in the order given, of which the last one is repeated.
/// "Operation:text" is for requests that contain the text, and goes before the plain operation.
pub struct Scene {
    rules: Vec<Rule>,
    pub memory: Memory,
    pub settings: Settings,
    pub seen: RefCell<Vec<Seen>>,
    logins: Cell<u32>,
}

impl Scene {
    pub fn new() -> Scene {
        let settings = Settings::parse(r#"{"url":"https://vc.test","username":"svc@x"}"#).unwrap();
        Scene { rules: Vec::new(), memory: Memory::default(), settings, seen: RefCell::default(), logins: Cell::new(0) }
    }

    /// `inner` stands inside the operation's response element.
    pub fn on(self, key: &str, inner: &str) -> Scene {
        let operation = key.split(':').next().unwrap_or(key);
        let reply = http(200, &[], &envelope(&format!(r#"<{operation}Response xmlns="urn:vim25">{inner}</{operation}Response>"#)));
        self.answer(key, reply)
    }

    pub fn fails(self, key: &str, kind: &str) -> Scene {
        self.answer(key, soap_fault(kind, "it failed"))
    }

    pub fn answer(mut self, key: &str, reply: Response) -> Scene {
        let (verb, needle) = key.split_once(':').unwrap_or((key, ""));
        self.rules.push(Rule { verb: verb.to_owned(), needle: needle.to_owned(), reply, used: Cell::new(false) });
        self
    }

    pub fn run<T>(&self, work: impl FnOnce(&Vcenter<'_>) -> T) -> T {
        work(&Vcenter { http: self, sessions: &self.memory, settings: self.settings.clone() })
    }

    /// The bodies of the requests of this key.
    pub fn bodies(&self, key: &str) -> Vec<String> {
        let (verb, needle) = key.split_once(':').unwrap_or((key, ""));
        self.seen.borrow().iter().filter(|seen| seen.verb == verb && seen.body.contains(needle)).map(|seen| seen.body.clone()).collect()
    }

    pub fn count(&self, key: &str) -> usize {
        self.bodies(key).len()
    }

    fn reply(&self, request: &Request, body: &[BodyPart], range: Option<Extent>) -> Response {
        let text: String = body
            .iter()
            .map(|part| match part {
                BodyPart::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                BodyPart::Secret { name, .. } => format!("[secret {name}]"),
            })
            .collect();
        let verb = if request.url.ends_with("/sdk") { operation(&text) } else { request.method.word().to_owned() };
        let cookie = request.headers.iter().find(|(name, _)| name == "cookie").map(|(_, value)| value.clone());
        self.seen.borrow_mut().push(Seen { verb: verb.clone(), url: request.url.clone(), body: text.clone(), cookie, range });
        let haystack = if request.method == Method::Post { text } else { format!("{} {range:?}", request.url) };
        let fits: Vec<&Rule> = self.rules.iter().filter(|rule| rule.verb == verb && haystack.contains(&rule.needle)).collect();
        let longest = fits.iter().map(|rule| rule.needle.len()).max();
        let fits: Vec<&&Rule> = fits.iter().filter(|rule| Some(rule.needle.len()) == longest).collect();
        match fits.iter().find(|rule| !rule.used.get()).or(fits.last()) {
            Some(rule) => {
                rule.used.set(true);
                rule.reply.clone()
            }
            None => self.by_heart(&verb, &haystack),
        }
    }

    /// What every vCenter answers.
    fn by_heart(&self, verb: &str, haystack: &str) -> Response {
        let inner = match verb {
            "GET" if haystack.contains("vimServiceVersions.xml") => {
                let versions =
                    "<namespaces version=\"1.0\"><namespace><name>urn:vim25</name><version>8.0.2.0</version></namespace></namespaces>";
                return http(200, &[], versions);
            }
            "RetrieveServiceContent" => {
                r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">pc</propertyCollector>
                   <viewManager type="ViewManager">vm</viewManager><about><fullName>VMware vCenter Server 8.0.2 build-1</fullName></about>
                   <sessionManager type="SessionManager">sm</sessionManager>
                   <authorizationManager type="AuthorizationManager">am</authorizationManager></returnval>"#
            }
            "Login" => {
                self.logins.set(self.logins.get() + 1);
                let cookie = format!("vmware_soap_session=\"s{}\"; Path=/; HttpOnly; Secure", self.logins.get());
                return http(
                    200,
                    &[("set-cookie", &cookie)],
                    &envelope("<LoginResponse><returnval><key>52-key</key></returnval></LoginResponse>"),
                );
            }
            // Says nothing of any right, so none is found to be lacking.
            "Logout" | "DestroyView" | "HasPrivilegeOnEntities" => "",
            _ => panic!("the test did not expect {verb}: {haystack}"),
        };
        http(200, &[], &envelope(&format!("<{verb}Response>{inner}</{verb}Response>")))
    }
}

fn operation(body: &str) -> String {
    let envelope = xml::parse(body.as_bytes()).expect("what we send is XML");
    envelope.child("Body").unwrap().children()[0].name.clone()
}

impl Http for Scene {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        Ok(self.reply(request, body, None))
    }
}

impl Peek for Scene {
    fn peek_range(&self, request: &Request, range: Extent) -> Result<Response, Fault> {
        Ok(self.reply(request, &[], Some(range)))
    }
}
