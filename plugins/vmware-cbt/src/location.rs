//! Finding the frozen file of a disk and proving that it can be read in parts, once per snapshot and disk.
//!
//! ```text
//!   snapshot's backing ─▶ datastore ─▶ its datacenter ─▶ descriptor ─▶ flat file ─▶ HEAD 200, length = size ─▶ GET 1 byte 206
//!      not flat, or with a parent: unsupported, by name                                     └─ 500: locked by the running VM
//! ```

use serde::{Deserialize, Serialize};
use transload_guest::fault::Fault;
use transload_guest::http::{Extent, Method, Request, Response};
use transload_guest::imports::Imports;
use transload_guest::ports::Http;
use transload_guest::store::Transfer;

use crate::descriptor;
use crate::devices::Disk;
use crate::folder::DatastorePath;
use crate::moref::Moref;
use crate::session::{Held, Vcenter};
use crate::soap::Refusal;
use crate::tokens::SnapshotToken;

/// A disk's bytes, proven readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub url: String,
    pub size: u64,
}

/// What a probe needs beyond small exchanges: the status and headers of a ranged GET, whose body nobody reads.
pub trait Peek: Http {
    fn peek_range(&self, request: &Request, range: Extent) -> Result<Response, Fault>;
}

impl Peek for Imports {
    fn peek_range(&self, request: &Request, range: Extent) -> Result<Response, Fault> {
        let incoming = self.get(request, Some(range))?;
        let wanted = ["content-range", "retry-after"];
        let headers = wanted.iter().filter_map(|name| Some((name.to_string(), incoming.header(name)?)));
        Ok(Response { status: incoming.status(), headers: headers.collect(), body: Vec::new() })
    }
}

pub fn find(vcenter: &Vcenter<'_>, peek: &dyn Peek, token: &SnapshotToken, disk: &Disk) -> Result<Location, Fault> {
    let backing = &disk.backing;
    let what = || format!("{} of {}", disk.label, vcenter.called(&token.vm));
    let cannot = |why: &str| Fault::unsupported(format!("{} cannot be read over HTTPS: {why}.", what()));
    if disk.is_raw_device() {
        return Err(cannot("it is a raw device mapping"));
    }
    if backing.kind != "VirtualDiskFlatVer2BackingInfo" {
        return Err(cannot(&format!("its backing {} is not a flat file", backing.kind)));
    }
    if backing.has_parent {
        return Err(cannot("the frozen state is a chain of files, because an older snapshot exists; remove that snapshot"));
    }
    if backing.encrypted {
        return Err(cannot("it is encrypted"));
    }
    let path = DatastorePath::parse(&backing.file).ok_or_else(|| cannot(&format!("\"{}\" is no path on a datastore", backing.file)))?;
    let datacenter = datacenter_of(vcenter, token, &path)?;
    let what = what();
    let flat = vcenter.in_session(|held| {
        let probe = Probe { vcenter, peek, held, what: &what };
        let text = probe.descriptor(&path.url(&vcenter.settings.origin, &datacenter))?;
        let flat = path.sibling(&descriptor::flat_file(&text, disk.size, &backing.file)?);
        let url = flat.url(&vcenter.settings.origin, &datacenter);
        probe.flat(&url, disk.size)?;
        Ok(url)
    })?;
    Ok(Location { url: flat, size: disk.size })
}

/// The inventory path of the datacenter that the file's datastore belongs to, without the root folder.
fn datacenter_of(vcenter: &Vcenter<'_>, token: &SnapshotToken, path: &DatastorePath) -> Result<String, Fault> {
    let doing = format!("find the datacenter of datastore {}", path.datastore);
    let stores = vcenter.proven(&token.vm_ref(), &doing, &["datastore"])?.morefs("datastore");
    let stores = vcenter.read_many(&doing, "Datastore", &stores, &["name", "parent"])?;
    let store = stores.iter().find(|store| store.text("name") == Some(&path.datastore));
    let gone = || Fault::not_found(format!("{} does not lie on datastore {} any more.", vcenter.called(&token.vm), path.datastore));
    let store = store.ok_or_else(gone)?;
    let mut at = store.moref_at("parent");
    let mut names: Vec<String> = Vec::new();
    let mut below: Option<Moref> = None;
    // Folders nest a few levels; the bound keeps a broken inventory from holding us.
    for _ in 0..64 {
        let Some(moref) = at else { break };
        let object = vcenter.read(&doing, &moref, &["name", "parent"])?;
        let (name, parent) = (object.text("name").unwrap_or_default().to_owned(), object.moref_at("parent"));
        if moref.kind == "Datacenter" {
            names = vec![name];
            below = Some(moref);
        } else if below.is_some() && parent.is_some() {
            names.push(name);
        }
        at = parent;
    }
    if below.is_none() {
        return Err(Fault::not_found(format!("No datacenter stands above datastore {}.", path.datastore)));
    }
    names.reverse();
    Ok(names.join("/"))
}

struct Probe<'a> {
    vcenter: &'a Vcenter<'a>,
    peek: &'a dyn Peek,
    held: &'a Held,
    /// The disk and its VM, for sentences.
    what: &'a str,
}

impl Probe<'_> {
    fn descriptor(&self, url: &str) -> Result<Vec<u8>, Refusal> {
        // Some layouts answer the descriptor's name with the whole disk; its length tells before a byte of it comes.
        let head = self.send(Method::Head, url)?;
        let length = self.length(&head)?;
        if length > descriptor::BYTES_MAX {
            return Err(self.cannot(&format!("its descriptor would be {length} bytes long, so it is none")).into());
        }
        Ok(self.send(Method::Get, url)?.body)
    }

    fn flat(&self, url: &str, size: u64) -> Result<(), Refusal> {
        let head = self.send(Method::Head, url)?;
        let length = self.length(&head)?;
        if length != size {
            return Err(Fault::corrupt(format!("The file of {} has {length} bytes and the disk {size}.", self.what)).into());
        }
        let byte = self.peek.peek_range(&self.request(Method::Get, url), Extent::new(0, 1))?;
        let promised = format!("bytes 0-0/{size}");
        match (byte.status, byte.header("content-range")) {
            (206, Some(range)) if range.trim() == promised => Ok(()),
            (206, range) => Err(Fault::corrupt(format!("The server answered a range of {} with {range:?}.", self.what)).into()),
            (200, _) => Err(self.cannot("the server ignores ranges").into()),
            _ => Err(self.refused(&byte).into()),
        }
    }

    fn send(&self, method: Method, url: &str) -> Result<Response, Refusal> {
        let response = self.peek.send(&self.request(method, url), &[])?;
        if response.status == 200 { Ok(response) } else { Err(self.refused(&response).into()) }
    }

    fn request(&self, method: Method, url: &str) -> Request {
        Request::new(method, url).header("cookie", &self.held.login.cookie)
    }

    fn length(&self, head: &Response) -> Result<u64, Fault> {
        let length = head.header("content-length").and_then(|length| length.trim().parse().ok());
        length.ok_or_else(|| self.cannot("the server does not say how long its file is"))
    }

    fn refused(&self, response: &Response) -> Fault {
        match response.status {
            403 => Fault::denied(format!(
                "{} may not read the file of {}: the account needs Datastore.Browse and Datastore.FileManagement on the datastore.",
                self.vcenter.settings.username, self.what
            )),
            404 => Fault::not_found(format!(
                "The file of {} is not there: the VM moved, or its datastore keeps no flat files (vSAN, vVol).",
                self.what
            )),
            500 => self.cannot("the host keeps its file locked while the VM runs, as VMFS does; use an NFS datastore, or an nbd reader"),
            _ => self.vcenter.wire().bad_status(response, &format!("read the file of {}", self.what)),
        }
    }

    fn cannot(&self, why: &str) -> Fault {
        Fault::unsupported(format!("{} cannot be read over HTTPS: {why}.", self.what))
    }
}
