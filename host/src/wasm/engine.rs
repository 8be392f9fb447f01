//! The engine that all components run in, and the loading of a configured plugin: read, check, grant, admit, compile, link.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, random};
use wasmtime_wasi::random::WasiRandom;

use super::admission;
use super::approval::Approvals;
use super::bindings;
use super::code_cache::CodeCache;
use super::compiling::Compiler;
use super::counters::Counters;
use super::cutover::PluginCutover;
use super::instances::{Instances, World};
use super::package::Package;
use super::plugin::{Plugin, PluginRefused};
use super::sink::PluginSink;
use super::source::PluginSource;
use super::state::InstanceState;
use super::trouble::Trouble;
use super::version::{Current, Version};
use crate::clock::Clock;
use crate::config::PluginConfig;
use crate::random::Random;

/// How soon a busy guest lets go of its thread.
const EPOCH: Duration = Duration::from_millis(10);

/// Loads plugins. One value serves the whole process.
pub struct PluginHost {
    engine: Engine,
    clock: Arc<dyn Clock>,
    /// By the SHA-256 of the component, so that two sources with one plugin compile it once.
    compiled: Mutex<BTreeMap<String, Component>>,
    compiler: Compiler,
    approvals: Approvals,
    /// Whose each nftables table is. Two that fill one would throw away each other's rules.
    tables: Mutex<BTreeMap<String, String>>,
    trouble: Option<Trouble>,
}

impl PluginHost {
    pub fn new(clock: Arc<dyn Clock>, kept: CodeCache, approvals: Approvals) -> anyhow::Result<PluginHost> {
        Ok(PluginHost {
            engine: engine()?,
            clock,
            compiled: Mutex::default(),
            compiler: Compiler::new(kept),
            approvals,
            tables: Mutex::default(),
            trouble: None,
        })
    }

    /// The same, for a trial: exchanges of its plugins fail now and then, as on a bad day.
    pub fn troubled(self, random: Random) -> PluginHost {
        PluginHost { trouble: Some(Trouble::new(random)), ..self }
    }

    /// The same, with less patience for components that take long to compile.
    pub fn compiling_within(self, within: Duration) -> PluginHost {
        PluginHost { compiler: self.compiler.within(within), ..self }
    }

    pub async fn source(&self, config: &PluginConfig) -> Result<PluginSource, PluginRefused> {
        let version = self.version(config, self.read(config).await?, Arc::default()).await?;
        Ok(PluginSource::new(version))
    }

    pub async fn sink(&self, config: &PluginConfig) -> Result<PluginSink, PluginRefused> {
        let version = self.version(config, self.read(config).await?, Arc::default()).await?;
        Ok(PluginSink::new(version))
    }

    pub async fn cutover(&self, config: &PluginConfig) -> Result<PluginCutover, PluginRefused> {
        let version = self.version(config, self.read(config).await?, Arc::default()).await?;
        Ok(PluginCutover::new(version))
    }

    /// Lets what lies in the plugin's folder take over, if it is another version than the one that runs. Answers whether it was.
    pub(super) async fn renew<W: World>(&self, config: &PluginConfig, current: &Current<W>) -> Result<bool, PluginRefused> {
        let (package, now) = (self.read(config).await?, current.now().ok());
        if now.as_ref().is_some_and(|now| package.text == now.manifest) {
            return Ok(false);
        }
        let counters = now.map(|now| now.plugin.counters().clone()).unwrap_or_default();
        current.replace(self.version(config, package, counters).await?);
        Ok(true)
    }

    pub(super) fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// Called when everything is loaded that this start needs.
    pub fn forget_unused_code(&self) {
        self.compiler.kept().keep_only(&self.engine, self.compiled.lock().expect("no holder of this lock panics").keys());
    }

    async fn read(&self, config: &PluginConfig) -> Result<Package, PluginRefused> {
        let folder = config.folder.clone();
        // A component of 20 MB is read and digested here; the threads that wait for the network must not wait for it.
        let read = tokio::task::spawn_blocking(move || Package::read(&folder)).await;
        read.unwrap_or_else(|error| Err(vec![format!("it could not be read: {error}")])).map_err(|reasons| refused(config, reasons))
    }

    /// Everything that is asked before any of its code runs.
    async fn version<W: World>(
        &self,
        config: &PluginConfig,
        package: Package,
        counters: Arc<Counters>,
    ) -> Result<Version<W>, PluginRefused> {
        let refused = |reasons| refused(config, reasons);
        if package.manifest.kind != W::KIND {
            return Err(refused(vec![format!(
                "{} is a {} plugin, but it is configured as a {}",
                package.manifest.name,
                package.manifest.kind.word(),
                W::KIND.word()
            )]));
        }
        let judged = self.approvals.judge(config.folder_name(), &package);
        judged.map_err(|reasons| PluginRefused { waits: true, ..refused(reasons) })?;
        let opened = config.open().map_err(refused)?;
        let plugin = Plugin::new(&config.name, &package.manifest, &config.config, opened, self.clock.clone(), counters);
        let plugin = Arc::new(plugin.map_err(refused)?.troubled(self.trouble.clone()));
        let component = self.compile(package.sha256, package.component).await.map_err(|why| refused(vec![why]))?;
        admission::admit(&self.engine, &component, &package.manifest, plugin.grants().into()).map_err(refused)?;
        let linked = || W::link(linker(&self.engine)?.instantiate_pre(&component)?);
        let pre = linked().map_err(|error| refused(vec![format!("its component does not fit the contract: {error:#}")]))?;
        // Last: what is refused holds no table.
        plugin.grants().table.iter().try_for_each(|table| self.claim(table, &config.name)).map_err(|why| refused(vec![why]))?;
        Ok(Version {
            control: Instances::new(self.engine.clone(), plugin.clone(), pre.clone()),
            data: Instances::new(self.engine.clone(), plugin.clone(), pre),
            manifest: package.text,
            plugin,
        })
    }

    fn claim(&self, table: &str, name: &str) -> Result<(), String> {
        let mut tables = self.tables.lock().expect("no holder of this lock panics");
        match tables.entry(table.to_owned()).or_insert_with(|| name.to_owned()) {
            owner if owner == name => Ok(()),
            owner => Err(format!("the nftables table {table} is filled by {owner} already: give each a table of its own")),
        }
    }

    async fn compile(&self, sha256: String, bytes: Vec<u8>) -> Result<Component, String> {
        if let Some(known) = self.compiled.lock().expect("no holder of this lock panics").get(&sha256) {
            return Ok(known.clone());
        }
        let component = self.compiler.component(&self.engine, &sha256, bytes).await?;
        self.compiled.lock().expect("no holder of this lock panics").insert(sha256, component.clone());
        Ok(component)
    }
}

/// What keeps the component from being run by this host, if everything were granted that its manifest asks for. What is compiled for that
/// is kept.
pub fn misfits(package: &Package, kept: CodeCache) -> Vec<String> {
    let fits = || -> Result<(), Vec<String>> {
        let engine = engine().map_err(|error| vec![format!("the engine does not start: {error:#}")])?;
        let compiled = Compiler::new(kept).component_now(&engine, &package.sha256, package.component.clone());
        let component = compiled.map_err(|why| vec![why])?;
        admission::admit(&engine, &component, &package.manifest, (&package.manifest).into())
    };
    fits().err().unwrap_or_default()
}

fn refused(config: &PluginConfig, reasons: Vec<String>) -> PluginRefused {
    PluginRefused { plugin: config.name.clone(), reasons, waits: false }
}

/// Epochs interrupt a guest that computes; they cost less than counting its instructions.
pub fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    std::thread::Builder::new().name("plugin-epoch".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    })?;
    Ok(engine)
}

/// All that this host offers. What a plugin may do with it is in its grants; what it may not even see was refused by admission.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    type Own = HasSelf<InstanceState>;
    bindings::types::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::bulk::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::http::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::secrets::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::sessions::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::config::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::log::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::clock::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::files::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::streams::add_to_linker::<_, Own>(l, |state| state)?;
    bindings::netfilter::add_to_linker::<_, Own>(l, |state| state)?;
    link_inert(l)?;
    Ok(linker)
}

/// What every toolchain's standard library wants to find. It leads nowhere: see `InstanceState::new`.
fn link_inert(l: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    type State = InstanceState;
    wasmtime_wasi_io::add_to_linker_async(l)?;
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(l, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_table_has_one_owner() {
        let host = PluginHost::new(Arc::new(SystemClock::new()), CodeCache::none(), Approvals::of_everything()).unwrap();
        assert_eq!(host.claim("transload_nat", "one"), Ok(()));
        // Again when a new version of it takes over.
        assert_eq!(host.claim("transload_nat", "one"), Ok(()));
        assert_eq!(host.claim("transload_dns", "two"), Ok(()));
        assert_eq!(
            host.claim("transload_nat", "two").unwrap_err(),
            "the nftables table transload_nat is filled by one already: give each a table of its own"
        );
    }
}
