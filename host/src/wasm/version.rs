//! The version of a plugin that runs, and how another one takes over.
//!
//! A call takes the version of its moment and keeps it to its end, and so does every byte source that came out of it. A version that was
//! replaced goes when the last of them goes. Its logins go with it: the next version opens its own.

use std::sync::{Arc, RwLock};

use super::instances::{Instances, World};
use super::plugin::{Plugin, PluginRefused};
use crate::model::Fault;

pub struct Version<W: World> {
    pub plugin: Arc<Plugin>,
    /// The manifest as it was written. It names the component's digest, so it tells this version from every other.
    pub manifest: String,
    /// Everything that may take its time.
    pub control: Instances<W>,
    /// What moves bytes, so that reading never waits behind a slow inventory, nor a commit behind a transfer.
    pub data: Instances<W>,
}

/// What runs, or why nothing does yet.
pub struct Current<W: World>(RwLock<Result<Arc<Version<W>>, Fault>>);

impl<W: World> Current<W> {
    pub fn new(version: Version<W>) -> Current<W> {
        Current(RwLock::new(Ok(Arc::new(version))))
    }

    /// Of a plugin that may not run as it lies there.
    pub fn none(refused: &PluginRefused) -> Current<W> {
        Current(RwLock::new(Err(refused.fault())))
    }

    pub fn now(&self) -> Result<Arc<Version<W>>, Fault> {
        self.0.read().expect("no holder of this lock panics").clone()
    }

    pub fn replace(&self, version: Version<W>) {
        *self.0.write().expect("no holder of this lock panics") = Ok(Arc::new(version));
    }

    /// What runs goes on. Where nothing does, this is why from now on.
    pub fn refuse(&self, refused: &PluginRefused) {
        if let Err(fault) = &mut *self.0.write().expect("no holder of this lock panics") {
            *fault = refused.fault();
        }
    }
}
