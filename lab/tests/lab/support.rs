//! A small client that knows just enough SOAP to be wrong on purpose.

use lab::vcenter::{DiskSpec, VmSpec};
use lab::{Lab, LabOptions};
use reqwest::{Client, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::{Arc, Mutex};

pub const MIB: u64 = 1 << 20;

/// A lab of its own for one test, and a client that is logged in.
pub struct Fixture {
    pub lab: Lab,
    pub client: Client,
    pub cookie: Mutex<Option<String>>,
    _directory: tempfile::TempDir,
}

/// What a refused call says.
#[derive(Debug)]
pub struct Refusal {
    /// The fault's type, for example `InvalidArgument`.
    pub kind: String,
    pub message: String,
}

pub async fn start() -> Fixture {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut LabOptions)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let mut options = LabOptions::new(directory.path().join("lab"));
    change(&mut options);
    let lab = Lab::start(options).await.unwrap();
    let client = client(lab.authority_pem());
    let fixture = Fixture { lab, client, cookie: Mutex::default(), _directory: directory };
    fixture.log_in().await.unwrap();
    fixture
}

pub fn client(authority_pem: &str) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Not every resolver knows that names under localhost are this machine.
    let loopback = ([127, 0, 0, 1], 0).into();
    Client::builder().tls_backend_preconfigured(tls).no_proxy().resolve("transload.localhost", loopback).build().unwrap()
}

/// Says that a test proves nothing here, or fails where that is not allowed.
pub fn skip(why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("TRANSLOAD_FORBID_SKIP").is_none(), "skipping is forbidden: {why}");
    // The macros' output of a test that passes is swallowed; this is not.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// The text between two marks.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let length = text[start..].find(after)?;
    Some(&text[start..start + length])
}

impl Fixture {
    pub async fn log_in(&self) -> Result<String, Refusal> {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
        let (user, password) = (escape(self.lab.vcenter().user()), escape(self.lab.vcenter().password()));
        let arguments = format!("<userName>{user}</userName><password>{password}</password>");
        self.call("Login", "SessionManager", "SessionManager", &arguments).await
    }

    pub async fn call(&self, method: &str, kind: &str, id: &str, arguments: &str) -> Result<String, Refusal> {
        let call = format!(r#"<{method} xmlns="urn:vim25"><_this type="{kind}">{id}</_this>{arguments}</{method}>"#);
        self.send(&envelope(&call), Some("\"urn:vim25/7.0.3.0\"")).await
    }

    pub async fn send(&self, envelope: &str, action: Option<&str>) -> Result<String, Refusal> {
        let mut request = self.client.post(format!("{}/sdk", self.lab.vcenter().url())).body(envelope.to_owned());
        if let Some(action) = action {
            request = request.header("SOAPAction", action);
        }
        if let Some(cookie) = self.cookie.lock().unwrap().clone() {
            request = request.header("Cookie", cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            *self.cookie.lock().unwrap() = Some(pair);
        }
        let status = response.status();
        let text = response.text().await.unwrap();
        if status == StatusCode::OK {
            return Ok(text);
        }
        let detail = between(&text, "<detail>", "</detail>").unwrap_or_default();
        let kind = between(detail, "type=\"", "\"").unwrap_or_default().to_owned();
        let message = between(&text, "<faultstring>", "</faultstring>").unwrap_or(&text).to_owned();
        Err(Refusal { kind, message })
    }

    /// A property as the XML inside `val`.
    pub async fn property(&self, kind: &str, id: &str, path: &str) -> Result<String, Refusal> {
        let arguments = format!(
            "<specSet><propSet><type>{kind}</type><pathSet>{path}</pathSet></propSet><objectSet><obj type=\"{kind}\">{id}</obj></objectSet></specSet><options></options>"
        );
        let reply = self.call("RetrievePropertiesEx", "PropertyCollector", "propertyCollector", &arguments).await?;
        Ok(between(&reply, "<val", "</val>").map(|rest| rest.split_once('>').unwrap().1).unwrap_or_default().to_owned())
    }

    /// Calls a method that answers a task and waits for it; answers the result's id.
    pub async fn task(&self, method: &str, kind: &str, id: &str, arguments: &str) -> Result<String, Refusal> {
        let reply = self.call(method, kind, id, arguments).await?;
        let task = between(&reply, "<returnval type=\"Task\">", "<").unwrap().to_owned();
        loop {
            let info = self.property("Task", &task, "info").await?;
            match between(&info, "<state>", "</state>").unwrap() {
                "success" => {
                    let result = between(&info, "<result", "</result>").and_then(|rest| rest.split_once('>'));
                    return Ok(result.map(|(_, id)| id.to_owned()).unwrap_or_default());
                }
                "error" => {
                    let kind = between(&info, "<fault xsi:type=\"", "\"").unwrap().to_owned();
                    return Err(Refusal { kind, message: info });
                }
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    }

    pub async fn create_snapshot(&self, vm: &str, name: &str) -> Result<String, Refusal> {
        let arguments = format!("<name>{name}</name><memory>false</memory><quiesce>false</quiesce>");
        self.task("CreateSnapshot_Task", "VirtualMachine", vm, &arguments).await
    }

    pub async fn remove_snapshot(&self, snapshot: &str) -> Result<String, Refusal> {
        self.task(
            "RemoveSnapshot_Task",
            "VirtualMachineSnapshot",
            snapshot,
            "<removeChildren>false</removeChildren><consolidate>true</consolidate>",
        )
        .await
    }

    pub async fn change_id(&self, snapshot: &str) -> Option<String> {
        let devices = self.property("VirtualMachineSnapshot", snapshot, "config.hardware.device").await.unwrap();
        between(&devices, "<changeId>", "</changeId>").map(str::to_owned)
    }

    /// One reply of QueryChangedDiskAreas.
    pub async fn changes_page(&self, vm: &str, snapshot: &str, disk: i32, start: u64, change_id: &str) -> Result<Page, Refusal> {
        let arguments = format!(
            "<snapshot type=\"VirtualMachineSnapshot\">{snapshot}</snapshot><deviceKey>{disk}</deviceKey><startOffset>{start}</startOffset><changeId>{change_id}</changeId>"
        );
        let reply = self.call("QueryChangedDiskAreas", "VirtualMachine", vm, &arguments).await?;
        let number = |text: &str, name: &str| between(text, &format!("<{name}>"), "<").unwrap().parse::<u64>().unwrap();
        let extents = reply.split("<changedArea>").skip(1).map(|area| (number(area, "start"), number(area, "length"))).collect();
        let head = reply.split("<changedArea>").next().unwrap();
        Ok(Page { start: number(head, "startOffset"), length: number(head, "length"), extents })
    }

    /// All pages, tiled as a careful client does it.
    pub async fn changes(&self, vm: &str, snapshot: &str, disk: i32, change_id: &str, capacity: u64) -> Result<Vec<Page>, Refusal> {
        let mut pages = Vec::new();
        let mut offset = 0;
        while offset < capacity {
            let page = self.changes_page(vm, snapshot, disk, offset, change_id).await?;
            assert_eq!(page.start, offset);
            assert!(page.length > 0);
            offset = page.start + page.length;
            pages.push(page);
        }
        assert_eq!(offset, capacity);
        Ok(pages)
    }

    pub async fn add_vm(&self, name: &str, capacity: u64) -> String {
        let spec = VmSpec { tracking: true, ..VmSpec::new(name, vec![DiskSpec::with_files(capacity, capacity / 4)]) };
        self.lab.vcenter().add_vm(spec).await.unwrap()
    }

    pub fn folder_url(&self, file: &str) -> String {
        let twice = |text: &str| encode(&encode(text));
        let vcenter = self.lab.vcenter();
        format!("{}/folder/{file}?dcPath={}&dsName={}", vcenter.url(), twice(&vcenter.datacenter_path()), twice("SSD pool 01"))
    }

    pub async fn get(&self, url: &str, range: Option<&str>) -> reqwest::Result<Response> {
        let cookie = self.cookie.lock().unwrap().clone().unwrap();
        let mut request = self.client.get(url).header("Cookie", cookie);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        request.send().await
    }
}

pub struct Page {
    pub start: u64,
    pub length: u64,
    pub extents: Vec<(u64, u64)>,
}

pub fn envelope(call: &str) -> String {
    format!(r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{call}</e:Body></e:Envelope>"#)
}

pub fn encode(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
