//! Live instances of one plugin, each used by one call at a time.
//!
//! A call takes an idle instance or makes one (microseconds), and gives it back when it came to an answer. A trap, a time-out or a caller
//! that went away leaves the instance in an unknown state: it is dropped and never used again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::bindings::types;
use super::bindings::{cutover, sink, source};
use super::call_time::{Deadline, TooLate};
use super::convert;
use super::manifest::Kind;
use super::plugin::Plugin;
use super::state::{HOSTCALL_BYTES_MAX, InstanceState};
use crate::model::Fault;

/// A kind of plugin that can be instantiated.
pub trait World: Sized + Send + 'static {
    const KIND: Kind;
    type Pre: Clone + Send + Sync;
    fn link(pre: InstancePre<InstanceState>) -> wasmtime::Result<Self::Pre>;
    async fn instantiate(pre: &Self::Pre, store: &mut Store<InstanceState>) -> wasmtime::Result<Self>;
}

/// What is generated for each world is alike but for its names.
macro_rules! hosted {
    ($kind:ident: $plugin:path, $pre:path) => {
        impl World for $plugin {
            const KIND: Kind = Kind::$kind;
            type Pre = $pre;

            fn link(pre: InstancePre<InstanceState>) -> wasmtime::Result<Self::Pre> {
                Self::Pre::new(pre)
            }

            async fn instantiate(pre: &Self::Pre, store: &mut Store<InstanceState>) -> wasmtime::Result<Self> {
                pre.instantiate_async(store).await
            }
        }
    };
}

hosted!(Source: source::SourcePlugin, source::SourcePluginPre<InstanceState>);
hosted!(Sink: sink::SinkPlugin, sink::SinkPluginPre<InstanceState>);
hosted!(Cutover: cutover::CutoverPlugin, cutover::CutoverPluginPre<InstanceState>);

pub struct Instances<W: World> {
    engine: Engine,
    plugin: Arc<Plugin>,
    pre: W::Pre,
    idle: Mutex<Vec<(Store<InstanceState>, W)>>,
    seats: Arc<Semaphore>,
}

/// An instance in use. Dropping it throws it away; only `settle` gives it back.
pub struct Live<W> {
    pub store: Store<InstanceState>,
    pub world: W,
    _seat: OwnedSemaphorePermit,
}

impl<W> Live<W> {
    /// Of a call that begins now, and for which the host may move bytes for so long.
    pub fn deadline(&self, bulk: Duration) -> Deadline {
        let state = self.store.data();
        state.time.begin(state.plugin.limits().call, bulk)
    }
}

/// What came out of a call: in time or not, trapped or not, a value or the guest's own fault.
pub type Called<T> = Result<wasmtime::Result<Result<T, types::Fault>>, TooLate>;

impl<W: World> Instances<W> {
    pub fn new(engine: Engine, plugin: Arc<Plugin>, pre: W::Pre) -> Instances<W> {
        let seats = Arc::new(Semaphore::new(plugin.limits().instances));
        Instances { engine, plugin, pre, idle: Mutex::default(), seats }
    }

    pub async fn take(&self) -> Result<Live<W>, Fault> {
        let seat = self.seat().await;
        let idle = self.idle.lock().expect("no holder of this lock panics").pop();
        let (mut store, world) = match idle {
            Some(ready) => ready,
            None => self.fresh().await?,
        };
        store.data_mut().begin_call();
        self.plugin.counters().call();
        Ok(Live { store, world, _seat: seat })
    }

    /// One that has seen no call: a plan must not follow from what others were asked before.
    pub async fn take_fresh(&self) -> Result<Live<W>, Fault> {
        let seat = self.seat().await;
        let (store, world) = self.fresh().await?;
        self.plugin.counters().call();
        Ok(Live { store, world, _seat: seat })
    }

    async fn seat(&self) -> OwnedSemaphorePermit {
        self.seats.clone().acquire_owned().await.expect("this semaphore is never closed")
    }

    async fn fresh(&self) -> Result<(Store<InstanceState>, W), Fault> {
        let mut store = Store::new(&self.engine, InstanceState::new(self.plugin.clone()));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        // At each tick the guest yields, so that the time limit of its call is looked at.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let made = tokio::time::timeout(self.plugin.limits().call, W::instantiate(&self.pre, &mut store)).await;
        match made {
            Ok(Ok(world)) => Ok((store, world)),
            Ok(Err(error)) => Err(self.trapped("its start", &store, &error)),
            Err(_) => {
                self.plugin.counters().time_out();
                Err(Fault::unavailable(format!("plugin {} did not start in time", self.plugin.name())))
            }
        }
    }

    /// Gives the instance back if the call came to an answer, and says what the answer was.
    pub fn settle<T>(&self, live: Live<W>, call: &str, called: Called<T>) -> Result<T, Fault> {
        let (name, counters) = (self.plugin.name(), self.plugin.counters());
        // Linear memory never shrinks, so this is the most that the instance ever had.
        counters.memory(live.store.data().memory.bytes as u64);
        match called {
            Ok(Ok(answer)) => {
                let Live { mut store, world, _seat } = live;
                if !store.data_mut().must_end() {
                    self.idle.lock().expect("no holder of this lock panics").push((store, world));
                }
                answer.map_err(|fault| {
                    counters.fault();
                    self.plugin.shown(convert::fault_from_guest(fault))
                })
            }
            Ok(Err(error)) => Err(self.trapped(call, &live.store, &error)),
            Err(_) => {
                counters.time_out();
                tracing::warn!(plugin = name, call, "a call took too long and its instance was ended");
                Err(Fault::unavailable(format!("plugin {name} did not answer {call} in time")))
            }
        }
    }

    fn trapped(&self, call: &str, store: &Store<InstanceState>, error: &wasmtime::Error) -> Fault {
        let name = self.plugin.name();
        self.plugin.counters().trap();
        let why = store.data().why_it_ended(error);
        tracing::error!(plugin = name, call, detail = self.plugin.masks().line(&format!("{error:?}"), 4000), "a plugin failed");
        Fault::internal(format!("plugin {name} failed in {call}: {why}"))
    }
}

/// Makes one call: takes an instance, limits its time, and settles it.
macro_rules! call {
    ($instances:expr, $bulk:expr, $interface:ident . $function:ident ( $($argument:expr),* )) => {{
        let mut live = $instances.take().await?;
        let deadline = live.deadline($bulk);
        let $crate::wasm::instances::Live { store, world, .. } = &mut live;
        let called = deadline.before(world.$interface().$function(store, $($argument),*)).await;
        (live, called)
    }};
}

pub(super) use call;
