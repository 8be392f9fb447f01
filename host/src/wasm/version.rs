//! The version of a plugin that runs, and how another one takes over.
//!
//! A call takes the version of its moment and keeps it to its end, and so does every byte source that came out of it. A version that was
//! replaced goes when the last of them goes. Its logins go with it: the next version opens its own.

use std::sync::{Arc, RwLock};

use super::instances::{Instances, World};
use super::plugin::Plugin;

pub struct Version<W: World> {
    pub plugin: Arc<Plugin>,
    /// The manifest as it was written. It names the component's digest, so it tells this version from every other.
    pub manifest: String,
    /// Everything that may take its time.
    pub control: Instances<W>,
    /// What moves bytes, so that reading never waits behind a slow inventory, nor a commit behind a transfer.
    pub data: Instances<W>,
}

pub struct Current<W: World>(RwLock<Arc<Version<W>>>);

impl<W: World> Current<W> {
    pub fn new(version: Version<W>) -> Current<W> {
        Current(RwLock::new(Arc::new(version)))
    }

    pub fn now(&self) -> Arc<Version<W>> {
        self.0.read().expect("no holder of this lock panics").clone()
    }

    pub fn replace(&self, version: Version<W>) {
        *self.0.write().expect("no holder of this lock panics") = Arc::new(version);
    }
}
