//! Compiling a component: on a thread of its own, and given up after its time.
//!
//! It takes from a tenth of a second to ten, and a component can be written so that it takes days. Nothing ends a compilation that has begun, so
//! one that is given up goes on beside the agent until it is done or the process ends. What comes of it is kept, and then the next try is quick.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::code_cache::CodeCache;

/// Thirty times what Python and JavaScript need on two cores.
const WITHIN: Duration = Duration::from_secs(300);

pub struct Compiler {
    kept: Arc<CodeCache>,
    within: Duration,
}

impl Compiler {
    pub fn new(kept: CodeCache) -> Compiler {
        Compiler { kept: Arc::new(kept), within: WITHIN }
    }

    pub fn within(self, within: Duration) -> Compiler {
        Compiler { within, ..self }
    }

    pub fn kept(&self) -> &CodeCache {
        &self.kept
    }

    pub async fn component(&self, engine: &Engine, sha256: &str, bytes: Vec<u8>) -> Result<Component, String> {
        let (done, compiled) = oneshot::channel();
        self.begin(engine, sha256, bytes, |component| drop(done.send(component)))?;
        match tokio::time::timeout(self.within, compiled).await {
            Ok(compiled) => compiled.unwrap_or_else(|_| Err(broke_off())),
            Err(_) => Err(self.too_late()),
        }
    }

    /// The same for whoever has nothing else to wait for.
    pub fn component_now(&self, engine: &Engine, sha256: &str, bytes: Vec<u8>) -> Result<Component, String> {
        let (done, compiled) = mpsc::channel();
        self.begin(engine, sha256, bytes, move |component| drop(done.send(component)))?;
        match compiled.recv_timeout(self.within) {
            Ok(compiled) => compiled,
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(broke_off()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.too_late()),
        }
    }

    fn begin<D>(&self, engine: &Engine, sha256: &str, bytes: Vec<u8>, done: D) -> Result<(), String>
    where
        D: FnOnce(Result<Component, String>) + Send + 'static,
    {
        let (engine, kept, sha256) = (engine.clone(), self.kept.clone(), sha256.to_owned());
        let compile = move || {
            let compiled = kept.load_or_compile(&engine, &sha256, &bytes);
            done(compiled.map_err(|error| format!("its component is no WebAssembly component that this host can run: {error:#}")));
        };
        // Not one of the runtime's: it waits for its own at the end of the process.
        let thread = std::thread::Builder::new().name("plugin-compile".to_owned()).spawn(compile);
        thread.map(drop).map_err(|error| format!("its component cannot be compiled: there is no thread for it: {error}"))
    }

    fn too_late(&self) -> String {
        format!("its component was not compiled within {} s: no honest one takes so long; ask its vendor", self.within.as_secs_f32())
    }
}

fn broke_off() -> String {
    "its component could not be compiled: the compiler broke off".to_owned()
}
