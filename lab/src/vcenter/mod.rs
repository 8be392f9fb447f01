//! A simulated vCenter.
//!
//! ```text
//!   /sdk ────▶ sdk ─▶ methods ─┬▶ collector, updates ─▶ properties ─┐
//!                              ├▶ task ─▶ snapshots, machines ──────┼─▶ inventory (state) ─▶ disk (files)
//!                              ├▶ changes ──────────────────────────┤
//!                              └▶ lease ────────────────────────────┤
//!   /folder ─▶ folder ──────────────────────────────────────────────┤
//!   /nfc ────▶ nfc ─▶ lease (what may be read) ─▶ vmdk (the stream) ┘
//! ```
//!
//! It is stricter than most simulators: what a real vCenter refuses is refused, and what the lab does not know is
//! named in a fault and never answered with something empty.

mod changes;
mod collector;
mod digests;
mod folder;
mod handle;
mod inventory;
mod knobs;
mod lease;
mod load;
mod machines;
mod methods;
mod nfc;
mod properties;
mod sdk;
mod session;
mod snapshots;
mod specification;
mod task;
mod updates;

pub use handle::{DiskView, SnapshotView, VCenter, VmView};
pub use inventory::{Counters, DigestRecord};
pub use knobs::{FolderFault, Knobs, Spoil, TaskFault};
pub use load::{DatastoreLoad, HostLoad, LoadView, VmLoad};
pub use specification::{DatastoreSpec, DiskSpec, VCenterOptions, VmSpec};

use crate::server::{Answer, Service, text};
use crate::soap::{Fault, Moref};
use anyhow::Result;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use inventory::{Datastore, Host, Names, State};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use session::Session;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::RwLock;

/// Everything behind the sockets. The state's lock is held for moments only; what takes long runs under a VM's gate.
pub(crate) struct Datacentre {
    pub options: VCenterOptions,
    directory: PathBuf,
    state: Mutex<State>,
    knobs: Mutex<Knobs>,
}

impl Datacentre {
    pub fn new(directory: &Path, options: VCenterOptions) -> Result<Datacentre> {
        let mut datastores = Vec::new();
        for (number, spec) in options.datastores.iter().enumerate() {
            std::fs::create_dir_all(datastore_directory(directory, number))?;
            datastores.push(Datastore {
                id: format!("datastore-{}", 20 + number),
                name: spec.name.clone(),
                capacity: spec.capacity,
                kind: spec.kind.clone(),
            });
        }
        let names = Names { datacenter_folder: options.datacenter_folder.clone(), datacenter: options.datacenter.clone() };
        let host = |(number, name): (usize, &String)| Host { id: format!("host-{}", 9 + number), name: name.clone() };
        let hosts = options.hosts.iter().enumerate().map(host).collect();
        let state = State::new(names, hosts, datastores, ChaCha8Rng::seed_from_u64(options.seed));
        Ok(Datacentre { options, directory: directory.to_owned(), state: Mutex::new(state), knobs: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    fn knobs(&self) -> Knobs {
        self.knobs.lock().expect("no panic under this lock").clone()
    }

    fn with_knobs<T>(&self, act: impl FnOnce(&mut Knobs) -> T) -> T {
        act(&mut self.knobs.lock().expect("no panic under this lock"))
    }

    fn gate(&self, vm: &str) -> Result<Arc<RwLock<()>>, Fault> {
        self.state().vms.get(vm).map(|vm| vm.gate.clone()).ok_or_else(|| Fault::not_found(vm))
    }

    fn datastore_directory(&self, name: &str) -> PathBuf {
        let place = self.options.datastores.iter().position(|datastore| datastore.name == name).unwrap_or(0);
        datastore_directory(&self.directory, place)
    }

    fn granted(&self, privilege: &str) -> bool {
        self.with_knobs(|knobs| !knobs.denied_privileges.iter().any(|denied| denied == privilege))
    }

    fn demand(&self, privilege: &str, on: &Moref) -> Result<(), Fault> {
        if self.granted(privilege) {
            return Ok(());
        }
        let message = "Permission to perform this operation was denied.";
        Err(Fault::new("NoPermission", message).with("object", on).with("privilegeId", privilege))
    }

    fn session(&self, cookie: &str) -> Option<Session> {
        let knobs = self.knobs();
        self.state().sessions.touch(cookie, &knobs)
    }

    /// Opens a session; answers its cookie.
    fn open_session(&self, user: &str) -> (String, Session) {
        let mut state = self.state();
        let cookie: String = state.random_bytes::<20>().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("52{}", state.uuid());
        state.sessions.open(cookie.clone(), key.clone(), user);
        state.counters.sessions_opened += 1;
        let session = state.sessions.by_key(&key).expect("just opened");
        (cookie, session)
    }
}

/// A datastore's files lie in a folder with its number: its name may hold anything.
fn datastore_directory(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("datastore-{number}"))
}

/// What the HTTPS socket serves.
pub(crate) fn service(centre: Arc<Datacentre>) -> Service {
    Arc::new(move |request| {
        let centre = centre.clone();
        Box::pin(async move { route(&centre, request).await })
    })
}

async fn route(centre: &Arc<Datacentre>, request: http::Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/sdk/vimServiceVersions.xml") => {
            let mut response = text(StatusCode::OK, sdk::versions());
            response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/xml"));
            Ok(response)
        }
        (&Method::POST, "/sdk" | "/sdk/") => sdk::answer(centre, request).await,
        (_, path) if path.starts_with("/folder") => folder::answer(centre, request).await,
        (_, path) if path.starts_with("/nfc") => nfc::answer(centre, request).await,
        _ => Ok(text(StatusCode::NOT_FOUND, format!("the lab has nothing at {path}"))),
    }
}
