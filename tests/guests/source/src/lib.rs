//! A source that behaves, or misbehaves in the way that the VM's id names. Tests drive the host's boundary with it.
#![cfg(target_family = "wasm")]

wit_bindgen::generate!({ path: "../../../wit", world: "source-plugin" });

use exports::transload::plugin::source::*;
use transload::plugin::bulk::{ByteSource, Part, Piece, gather};
use transload::plugin::http::{Auth, BasicAuth, BodyPart, Encoding, Expectation, Method, Request, SecretPart, lazy, send};
use transload::plugin::log::{Level, write};
use transload::plugin::machine::{Firmware, VmDefinition};
use transload::plugin::types::{Extent, Fault, FaultKind, Header};
use transload::plugin::{config, sessions};

struct Echo;
export!(Echo);

fn fault(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault { kind, message: message.into(), retry_after_ms: None }
}

/// The configured URL; the settings are one JSON object with text values.
fn url() -> String {
    let json = config::json();
    let behind = json.split("\"url\":\"").nth(1).unwrap_or_default();
    behind.split('"').next().unwrap_or_default().to_owned()
}

fn get(path: &str) -> Request {
    Request { method: Method::Get, url: format!("{}{path}", url()), headers: Vec::new(), auth: Auth::None }
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

fn source(path: &str, offset: u64, length: u64) -> Result<ByteSource, Fault> {
    lazy(&get(path), Expectation { range: Extent { offset, length } })
}

impl Guest for Echo {
    /// Logs in with the password in an XML body, as SOAP does, and says what the server saw.
    fn describe() -> Result<Description, Fault> {
        let request = Request { method: Method::Post, ..get("/login") };
        let secret = SecretPart { secret: "password".to_owned(), encoding: Encoding::XmlText };
        let body = [BodyPart::Bytes(b"<password>".to_vec()), BodyPart::Secret(secret), BodyPart::Bytes(b"</password>".to_vec())];
        let response = send(&request, &body)?;
        Ok(Description { product: format!("{} {}", response.status, text(response.body)), disks_per_host_max: None })
    }

    /// Two pages of one VM each.
    fn inventory(cursor: Option<String>) -> Result<InventoryPage, Fault> {
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
        Ok(InventoryPage { vms: vec![vm], next: cursor.is_none().then(|| "vm-2".to_owned()) })
    }

    fn preflight(vm: VmRef) -> Result<Vec<Finding>, Fault> {
        match vm.id.as_str() {
            "loop" => loop {
                std::hint::black_box(0);
            },
            "trap" => panic!("on purpose"),
            "hoard" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "flood" => {
                let message = "x".repeat(60_000);
                let finding =
                    Finding { code: "flood".to_owned(), severity: Severity::Info, subject: String::new(), message, remedy: String::new() };
                Ok(vec![finding; 1000])
            }
            other => Err(fault(FaultKind::NotFound, other)),
        }
    }

    fn definition(vm: VmRef) -> Result<VmDefinition, Fault> {
        match vm.id.split_once(' ').unwrap_or((&vm.id, "")) {
            ("get", url) => {
                let request = Request { method: Method::Get, url: url.to_owned(), headers: Vec::new(), auth: Auth::None };
                send(&request, &[]).map(|response| answer(format!("{} {}", response.status, text(response.body))))
            }
            ("headers", _) => {
                let headers = vec![Header { name: "x-guest".to_owned(), value: "hello".to_owned() }];
                let auth = Auth::Basic(BasicAuth { user: "svc".to_owned(), password: "password".to_owned() });
                let request = Request { headers, auth, ..get("/headers") };
                send(&request, &[]).map(|response| answer(text(response.body)))
            }
            ("log", line) => {
                for _ in 0..3 {
                    write(Level::Info, line);
                }
                Ok(answer(String::new()))
            }
            ("fault", message) => Err(fault(FaultKind::Auth, message)),
            ("session", value) => {
                let before = sessions::get("login");
                let version = sessions::compare_and_set("login", before.as_ref().map(|entry| entry.version), value.as_bytes())?;
                Ok(answer(format!("{} then {version}", text(before.map(|entry| entry.value).unwrap_or_default()))))
            }
            ("peek", length) => {
                let length = length.parse().map_err(|_| fault(FaultKind::Invalid, "no length"))?;
                let disk = source("/disk", 0, 1 << 20)?;
                let mut read = 0;
                loop {
                    match disk.peek(read, length) {
                        Ok(bytes) => read += bytes.len() as u64,
                        Err(fault) => return Ok(answer(format!("{read} {}", fault.message))),
                    }
                }
            }
            ("keep", _) => {
                // Never dropped: the host must not let it pile up.
                std::mem::forget(source("/disk", 0, 512)?);
                Ok(answer("kept".to_owned()))
            }
            _ => Err(fault(FaultKind::NotFound, "no such VM")),
        }
    }

    fn placement(_vm: VmRef) -> Result<VmPlacement, Fault> {
        Err(fault(FaultKind::Unsupported, "not here"))
    }

    fn enable_tracking(_vm: VmRef) -> Result<Outcome, Fault> {
        Ok(Outcome::Done)
    }

    fn reset_tracking(_vm: VmRef) -> Result<Outcome, Fault> {
        Ok(Outcome::Power(PowerState::On))
    }

    fn open_snapshot(vm: VmRef, tag: String, _quiesce: Quiesce) -> Result<Outcome, Fault> {
        Ok(Outcome::Opened(Opened { token: format!("{}/{tag}", vm.id), quiesced: false }))
    }

    fn close_snapshot(_token: String, _closing: Closing) -> Result<Outcome, Fault> {
        Ok(Outcome::Pending(transload::plugin::types::Pending { operation: "task-7".to_owned(), poll_after_ms: 5 }))
    }

    fn release_markers(_vm: VmRef, _markers: Vec<DiskMarker>) -> Result<(), Fault> {
        Ok(())
    }

    fn leftovers(_vm: VmRef, tag_prefix: String) -> Result<Vec<String>, Fault> {
        Ok(vec![format!("{tag_prefix}-1")])
    }

    fn disks(_token: String) -> Result<Vec<SnapshotDisk>, Fault> {
        Ok(Vec::new())
    }

    fn changed(_token: String, disk: String, _since: String, cursor: Option<String>) -> Result<Changes, Fault> {
        let extents = match disk.as_str() {
            "overlapping" => vec![Extent { offset: 0, length: 1024 }, Extent { offset: 512, length: 512 }],
            _ => vec![Extent { offset: 0, length: 512 }],
        };
        let page = ChangedPage { covers: Extent { offset: 0, length: 4096 }, extents, next: cursor };
        Ok(Changes::Page(page))
    }

    fn open_range(_token: String, disk: String, offset: u64, length: u64) -> Result<ByteSource, Fault> {
        match disk.as_str() {
            // Bytes, then as many zeros, then the first bytes again.
            "gathered" => {
                let bytes = source("/disk", offset, length)?;
                let third = length / 3;
                let part = |offset| Piece::Range(Part { source: &bytes, offset, length: third });
                gather(&[part(0), Piece::Zeros(length - 2 * third), part(0)])
            }
            "short" => source("/disk", offset, length - 1),
            path => source(&format!("/{path}"), offset, length),
        }
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
