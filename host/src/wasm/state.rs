//! What one running instance carries: its table of host resources, its inert WASI context, its limits, and the plugin it belongs to.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::cli::{WasiCliCtxView, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::bindings::types;
use super::bulk::SealedBody;
use super::call_time::CallTime;
use super::convert;
use super::files::FileHandle;
use super::incoming::Incoming;
use super::last_words::LastWords;
use super::plugin::Plugin;
use super::splice::Splice;
use super::streams::Connection;
use crate::model::Fault;

/// What a guest may hand to the host in one call. The most that is needed is a list of 65,536 extents: 1 MiB.
pub const HOSTCALL_BYTES_MAX: usize = 8 << 20;
/// Host resources that one instance may hold at a time. A call needs a handful; what piles up is a leak.
const HANDLES_MAX: usize = 4096;
/// Pieces of byte sources that one instance may hold at a time, so that slices of slices cannot eat the host's memory.
const PIECES_MAX: usize = 256 * 1024;
/// Linear memories, tables and core instances of one component. Python needs about 25 instances.
const CORE_INSTANCES_MAX: usize = 64;
const TABLE_ELEMENTS_MAX: usize = 50_000;

/// What an instance is doing, and so whether it may reach anything outside of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// A component may run code while it is instantiated.
    Starts,
    /// This call makes a plan.
    Plans,
    Works,
}

pub struct InstanceState {
    pub(super) plugin: Arc<Plugin>,
    pub(super) table: ResourceTable,
    pub(super) memory: MemoryLimit,
    pub(super) peek_left: u64,
    pub(super) last_words: LastWords,
    pub(super) time: CallTime,
    reach: Reach,
    pieces: usize,
    wasi: WasiCtx,
}

impl InstanceState {
    pub fn new(plugin: Arc<Plugin>) -> InstanceState {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let last_words = LastWords::default();
        let wasi = WasiCtxBuilder::new()
            .stderr(last_words.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(64 * 1024)
            .build();
        let memory = MemoryLimit { bytes_max: plugin.limits().memory as usize, bytes: 0, refused: false };
        InstanceState {
            peek_left: plugin.limits().peek,
            plugin,
            table,
            memory,
            last_words,
            time: CallTime::new(),
            reach: Reach::Starts,
            pieces: 0,
            wasi,
        }
    }

    /// What a call may use and what it says are its own: nothing of an earlier call explains how a later one ends.
    pub(super) fn begin_call(&mut self) {
        self.peek_left = self.plugin.limits().peek;
        self.memory.refused = false;
        self.reach = Reach::Works;
        self.last_words.clear();
    }

    /// Until the next call begins.
    pub(super) fn begin_plan(&mut self) {
        self.reach = Reach::Plans;
    }

    /// Asked before anything outside of this host is reached.
    pub(super) fn may_reach(&self) -> Result<(), Fault> {
        match self.reach {
            Reach::Works => Ok(()),
            Reach::Starts => Err(Fault::denied("an instance that starts reaches nothing: nobody has called it yet")),
            Reach::Plans => Err(Fault::denied("plan reaches nothing: what it answers follows from its arguments and the settings alone")),
        }
    }

    /// Why the engine ended this instance, in one line: what it took too much of, else its own words, else the engine's.
    pub(super) fn why_it_ended(&self, error: &wasmtime::Error) -> String {
        let (masks, engine) = (self.plugin.masks(), error.root_cause().to_string());
        if self.memory.refused {
            return format!("it needs more than its {} MiB of memory", self.plugin.limits().memory >> 20);
        }
        // The engine names its own fuel here, which nobody outside of it knows.
        if engine.starts_with("too much data is being copied") {
            return format!("it handed over more than {} MiB in one call", HOSTCALL_BYTES_MAX >> 20);
        }
        // Functions pass by their names until an instance is made; only then are their shapes compared.
        if error.to_string() == "failed to convert function to given type" {
            return format!("its component does not fit the contract: {error:#}");
        }
        masks.line(&self.last_words.take(masks).unwrap_or(engine), 500)
    }

    /// Takes so many bytes from what this call may look at.
    pub(super) fn spend_peek(&mut self, bytes: u64) -> Result<(), Fault> {
        let used_up = || Fault::denied(format!("the plugin's peek budget of {} bytes a call is used up", self.plugin.limits().peek));
        self.peek_left = self.peek_left.checked_sub(bytes).ok_or_else(used_up)?;
        Ok(())
    }

    /// How many handles of this kind the guest holds.
    pub(super) fn held<T: 'static>(&mut self) -> usize {
        self.table.iter_mut().filter(|entry| entry.is::<T>()).count()
    }

    /// Whether the guest may hold this byte source as well.
    pub(super) fn check_room(&self, splice: &Splice) -> Result<(), Fault> {
        match self.pieces + splice.pieces() <= PIECES_MAX {
            true => Ok(()),
            false => Err(Fault::denied(format!("a plugin may hold at most {PIECES_MAX} pieces of byte sources at a time"))),
        }
    }

    /// Puts a byte source where the guest can name it.
    pub(super) fn keep(&mut self, splice: Splice) -> Result<Resource<Splice>, Refusal> {
        self.check_room(&splice)?;
        let pieces = splice.pieces();
        let kept = self.table.push(splice)?;
        self.pieces += pieces;
        Ok(kept)
    }

    /// Takes a byte source out of the guest's reach.
    pub(super) fn take(&mut self, splice: Resource<Splice>) -> Result<Splice, ResourceTableError> {
        let splice = self.table.delete(splice)?;
        self.pieces -= splice.pieces();
        Ok(splice)
    }

    /// Whether the instance must end with its call: it made a plan, or kept handles, which end with the call.
    pub(super) fn must_end(&mut self) -> bool {
        self.reach == Reach::Plans || self.kept_handles()
    }

    fn kept_handles(&mut self) -> bool {
        self.table.iter_mut().any(|entry| {
            entry.is::<Splice>()
                || entry.is::<Incoming>()
                || entry.is::<SealedBody>()
                || entry.is::<FileHandle>()
                || entry.is::<Connection>()
        })
    }
}

/// What an import answers when it does not do what was asked: a fault that the guest sees, or a trap that ends the instance.
#[derive(Debug)]
pub enum Refusal {
    Fault(Fault),
    Trap(wasmtime::Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Refusal {
        match error {
            ResourceTableError::Full => Refusal::Fault(Fault::denied(format!("a plugin may hold at most {HANDLES_MAX} handles at a time"))),
            other => Refusal::Trap(other.into()),
        }
    }
}

impl types::Host for InstanceState {
    fn convert_fault(&mut self, refusal: Refusal) -> wasmtime::Result<types::Fault> {
        match refusal {
            Refusal::Fault(fault) => Ok(convert::fault_to_guest(fault)),
            Refusal::Trap(error) => Err(error),
        }
    }
}

/// Counts all linear memory of an instance, and remembers a refusal so that the trap that follows can be explained.
pub struct MemoryLimit {
    bytes_max: usize,
    pub(super) bytes: usize,
    pub(super) refused: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes + (desired - current);
        if bytes > self.bytes_max {
            self.refused = true;
            return Ok(false);
        }
        self.bytes = bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        CORE_INSTANCES_MAX
    }
}

impl wasmtime_wasi_io::IoView for InstanceState {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiCliView for InstanceState {
    fn cli(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView { ctx: self.wasi.cli(), table: &mut self.table }
    }
}

impl WasiClocksView for InstanceState {
    fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: self.wasi.clocks(), table: &mut self.table }
    }
}

impl InstanceState {
    pub(super) fn random(&mut self) -> &mut wasmtime_wasi::random::WasiRandomCtx {
        self.wasi.random()
    }
}
