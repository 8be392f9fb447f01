//! A source that behaves, or misbehaves in the way that the VM's id names. Tests drive the host's boundary with it.
#![cfg(target_family = "wasm")]

mod bytes;
mod endings;
mod extra;
mod folders;
mod pages;
mod reach;
mod start;

wit_bindgen::generate!({ path: "../../../wit", world: "source-plugin" });

use exports::transload::plugin::source::*;
use transload::plugin::bulk::ByteSource;
use transload::plugin::config;
use transload::plugin::http::{Auth, BodyPart, Encoding, Expectation, Method, Request, SecretPart, lazy, send};
use transload::plugin::log::{Level, write};
use transload::plugin::machine::{Firmware, VmDefinition};
use transload::plugin::types::{Extent, Fault, FaultKind, Pending};

struct Echo;
export!(Echo);

fn fault(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault { kind, message: message.into(), retry_after_ms: None }
}

/// One of the settings, which are one JSON object with text values; empty where there is none of this name.
fn setting(name: &str) -> String {
    let json = config::json();
    let behind = json.split(&format!("\"{name}\":\"")).nth(1).unwrap_or_default();
    behind.split('"').next().unwrap_or_default().to_owned()
}

/// Runs while the host still makes the instance.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    start::start(&setting("misdeed"));
}

fn get(path: &str) -> Request {
    Request { method: Method::Get, url: format!("{}{path}", setting("url")), headers: Vec::new(), auth: Auth::None }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A definition whose name is what the test wants to know.
fn answer(name: String) -> VmDefinition {
    VmDefinition {
        name,
        cpus: 1,
        memory_mib: 1,
        firmware: Firmware::Bios,
        secure_boot: false,
        guest_os: String::new(),
        nics: Vec::new(),
        disks: Vec::new(),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| fault(FaultKind::Invalid, format!("{text:?} is no number")))
}

fn source(path: &str, offset: u64, length: u64) -> Result<ByteSource, Fault> {
    lazy(&get(path), Expectation { range: Extent { offset, length } })
}

impl Guest for Echo {
    /// Logs in with the password in an XML body, as SOAP does, and says what the server saw.
    fn describe() -> Result<Description, Fault> {
        match setting("misdeed").split_once(' ').unwrap_or_default() {
            ("describe", "no-disks-at-all") => return Ok(Description { product: String::new(), disks_per_host_max: Some(0) }),
            ("tell", words) => return Ok(Description { product: words.to_owned(), disks_per_host_max: None }),
            _ => {}
        }
        let request = Request { method: Method::Post, ..get("/login") };
        let secret = SecretPart { secret: "password".to_owned(), encoding: Encoding::XmlText };
        let body = [BodyPart::Bytes(b"<password>".to_vec()), BodyPart::Secret(secret), BodyPart::Bytes(b"</password>".to_vec())];
        let response = send(&request, &body)?;
        Ok(Description { product: format!("{} {}", response.status, text(response.body)), disks_per_host_max: None })
    }

    /// Two pages of one VM each.
    fn inventory(cursor: Option<String>) -> Result<InventoryPage, Fault> {
        if let Some(how) = setting("misdeed").strip_prefix("in-inventory ") {
            endings::end(how)?;
        }
        let id = cursor.clone().unwrap_or_else(|| "vm-1".to_owned());
        let vm = VmSummary {
            vm: VmRef { id: id.clone(), fingerprint: format!("uuid-{id}") },
            name: format!("name of {id}"),
            folder: "DC0/vm".to_owned(),
            power: PowerState::On,
            host: "esx1".to_owned(),
            guest_os: "Debian".to_owned(),
            disks: vec![DiskSummary { id: "disk-1".to_owned(), label: "Hard disk 1".to_owned(), size: 4096 }],
        };
        let page = InventoryPage { vms: vec![vm], next: cursor.is_none().then(|| "vm-2".to_owned()) };
        Ok(pages::misled(page, cursor.as_deref()))
    }

    fn preflight(vm: VmRef) -> Result<Vec<Finding>, Fault> {
        endings::end(&vm.id)
    }

    fn definition(vm: VmRef) -> Result<VmDefinition, Fault> {
        match vm.id.split_once(' ').unwrap_or((&vm.id, "")) {
            ("log", line) => {
                for _ in 0..3 {
                    write(Level::Info, line);
                }
                Ok(answer(String::new()))
            }
            ("chatter", count) => {
                (0..number(count)?).for_each(|line| write(Level::Info, &format!("chatter {line}")));
                Ok(answer(String::new()))
            }
            ("fault", message) => Err(fault(FaultKind::Auth, message)),
            ("peek", length) => {
                let length = number(length)?;
                let disk = source("/disk", 0, 1 << 20)?;
                let mut read = 0;
                loop {
                    match disk.peek(read, length) {
                        Ok(bytes) => read += bytes.len() as u64,
                        Err(fault) => return Ok(answer(format!("{read} {}", fault.message))),
                    }
                }
            }
            ("bytes", how) => bytes::misuse(how).map(answer),
            ("file", rest) => {
                let (how, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                folders::look(how, rest).map(answer)
            }
            ("machine", _) => Ok(VmDefinition { cpus: 0, ..answer(String::new()) }),
            (verb, rest) => reach::out(verb, rest).map(answer),
        }
    }

    fn placement(vm: VmRef) -> Result<VmPlacement, Fault> {
        let store = |free| Datastore { id: "ds-1".to_owned(), name: "ds".to_owned(), free, capacity: 1, snapshot_bytes: 0 };
        let on = |datastore: &str| DiskHome { disk: "d".to_owned(), datastore: Some(datastore.to_owned()) };
        let placed = |free, disks| Ok(VmPlacement { host: String::new(), datastores: vec![store(free)], disks });
        match vm.id.as_str() {
            "more-free-than-there-is" => placed(2, Vec::new()),
            "on-no-datastore" => placed(1, vec![on("ds-2")]),
            "placed-twice" => placed(1, vec![on("ds-1"), on("ds-1")]),
            _ => Err(fault(FaultKind::Unsupported, "not here")),
        }
    }

    fn enable_tracking(_vm: VmRef) -> Result<Outcome, Fault> {
        Ok(Outcome::Done)
    }

    fn reset_tracking(_vm: VmRef) -> Result<Outcome, Fault> {
        Ok(Outcome::Power(PowerState::On))
    }

    fn open_snapshot(vm: VmRef, tag: String, _quiesce: Quiesce) -> Result<Outcome, Fault> {
        let token = match vm.id.as_str() {
            "no-token" => String::new(),
            "long-token" => "x".repeat(64 * 1024 + 1),
            id => format!("{id}/{tag}"),
        };
        Ok(Outcome::Opened(Opened { token, quiesced: false }))
    }

    fn close_snapshot(token: String, _closing: Closing) -> Result<Outcome, Fault> {
        let operation = if token == "no-operation" { "" } else { "task-7" };
        Ok(Outcome::Pending(Pending { operation: operation.to_owned(), poll_after_ms: 5 }))
    }

    fn release_markers(_vm: VmRef, _markers: Vec<DiskMarker>) -> Result<(), Fault> {
        Ok(())
    }

    fn leftovers(_vm: VmRef, tag_prefix: String) -> Result<Vec<String>, Fault> {
        Ok(vec![format!("{tag_prefix}-1")])
    }

    fn disks(token: String) -> Result<Vec<SnapshotDisk>, Fault> {
        let disk = |id: &str, size| SnapshotDisk {
            id: id.to_owned(),
            label: String::new(),
            fingerprint: "f".to_owned(),
            size,
            marker: None,
            readable: ReadablePart::WholeDisk,
        };
        match token.as_str() {
            "disk-twice" => Ok(vec![disk("disk-1", 4096), disk("disk-1", 4096)]),
            "odd-size" => Ok(vec![disk("disk-1", 513)]),
            "no-size" => Ok(vec![disk("disk-1", 0)]),
            "endless-disk" => Ok(vec![disk("disk-1", u64::MAX - 511)]),
            "no-fingerprint" => Ok(vec![SnapshotDisk { fingerprint: String::new(), ..disk("disk-1", 4096) }]),
            "nameless-disk" => Ok(vec![disk("", 4096)]),
            _ => Ok(Vec::new()),
        }
    }

    fn changed(_token: String, disk: String, _since: String, cursor: Option<String>) -> Result<Changes, Fault> {
        match disk.strip_prefix("resync ") {
            Some(words) => Ok(Changes::Resync(ResyncReason { code: "told".to_owned(), message: words.to_owned() })),
            None => Ok(Changes::Page(pages::changed(&disk, cursor.as_deref()))),
        }
    }

    fn open_range(_token: String, disk: String, offset: u64, length: u64) -> Result<ByteSource, Fault> {
        bytes::open(&disk, offset, length)
    }

    fn power(_vm: VmRef, _action: PowerAction) -> Result<Outcome, Fault> {
        Ok(Outcome::Power(PowerState::Off))
    }

    fn poll(_operation: String) -> Result<Outcome, Fault> {
        Ok(Outcome::Closed(Vec::new()))
    }

    fn cancel(_operation: String) -> Result<(), Fault> {
        Ok(())
    }
}
