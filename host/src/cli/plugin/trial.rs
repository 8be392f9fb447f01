//! `transload plugin test`: the conformance kit, on a plugin as the configuration has it. The only verb that runs a plugin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures::FutureExt;

use super::candidate::{Admitted, Candidate, Unapproved};
use super::{Failed, print};
use crate::agent;
use crate::api::sentences::{PLUGIN_TESTED_NEXT, PLUGIN_TESTED_SAFE};
use crate::cli::print::plain;
use crate::clock::SystemClock;
use crate::config::{ConfiguredPlugins, PluginConfig, Wave, WaveVm};
use crate::cutover::{Context, MovedVm};
use crate::driver::retry::{PersistentSink, PersistentSource};
use crate::kit::{self, Judged, Outcome};
use crate::random::Random;
use crate::wasm::{CodeCache, Kind, PluginHost, PluginRefused};

#[derive(Args)]
pub struct Trial {
    /// Try the plugin that lies here, a folder or an archive, in place of the configured one and with its settings and secrets.
    path: Option<PathBuf>,
    /// Run it in this trial although it is not approved. With the digest that is shown without this: run that, and nothing that lies there by then.
    #[arg(long, requires = "path", value_name = "SHA256", require_equals = true)]
    yes: Option<Option<String>>,
    /// Try a source, on this VM of it.
    #[arg(long)]
    vm: Option<String>,
    /// Which source, where several are configured.
    #[arg(long, requires = "vm")]
    source: Option<String>,
    /// Try a cutover, on this wave: VMs with their addresses, and what it is to move. Take names and addresses that nobody uses.
    #[arg(long, value_name = "FILE", conflicts_with = "vm")]
    wave: Option<PathBuf>,
    /// Which cutover, where several are configured.
    #[arg(long, requires = "wave")]
    cutover: Option<String>,
    /// With mishaps: now and then an exchange is refused as busy, lost on its way, not answered, or cut off in its reply.
    #[arg(long)]
    faults: bool,
}

/// What is tried with.
struct Bench<'a> {
    config: &'a ConfiguredPlugins,
    /// Stands in for the configured plugin.
    candidate: Option<Candidate>,
    host: PluginHost,
    json: bool,
}

impl Trial {
    pub fn run(&self, config: &ConfiguredPlugins, json: bool) -> Result<(), Failed> {
        let candidate = self.path.as_deref().map(Candidate::read).transpose()?;
        candidate.as_ref().map_or(Ok(()), |candidate| self.fits(candidate))?;
        let unapproved = match &self.yes {
            None => Unapproved::Refused,
            Some(None) => Unapproved::RunsOnce,
            Some(Some(digest)) => Unapproved::ThisRunsOnce(digest.clone()),
        };
        let admitted = candidate.as_ref().map(|candidate| candidate.admit(&config.state, &unapproved)).transpose()?;
        let approvals = admitted.as_ref().map_or_else(|| agent::approvals(&config.state), Admitted::approvals);
        let engine = PluginHost::new(Arc::new(SystemClock::new()), CodeCache::beside(&config.state), approvals);
        let host = engine.map_err(|error| Failed::new(1, format!("the plugin engine does not start: {error:#}")))?;
        let host = if self.faults { host.troubled(Random::from_system()) } else { host };
        let bench = Bench { config, candidate, host, json };
        let tried = async {
            match (&self.vm, &self.wave) {
                (Some(vm), _) => bench.source(self.source.as_deref(), vm).await,
                (None, Some(wave)) => bench.cutover(self.cutover.as_deref(), wave).await,
                (None, None) => bench.sink(self.faults).await,
            }
        };
        let all = crate::cli::runtime().block_on(tried)?;
        if json {
            print(&all);
        }
        match all.iter().filter(|judged| judged.failed()).count() {
            0 => Ok(()),
            failed => {
                let what = format!("{failed} of {} claims do not hold", all.len());
                Err(Failed { safe: PLUGIN_TESTED_SAFE, next: PLUGIN_TESTED_NEXT.into(), ..Failed::new(3, what) })
            }
        }
    }

    /// Whether what it is tried on is what its kind is tried on.
    fn fits(&self, candidate: &Candidate) -> Result<(), Failed> {
        let tried_on = match (&self.vm, &self.wave) {
            (Some(_), _) => Kind::Source,
            (None, Some(_)) => Kind::Cutover,
            (None, None) => Kind::Sink,
        };
        let how = match candidate.kind() {
            kind if kind == tried_on => return Ok(()),
            Kind::Source => "name one of its VMs with --vm",
            Kind::Cutover => "name a wave with --wave",
            Kind::Sink => "try it without --vm and --wave",
            Kind::Launcher => "there are no claims for one yet",
        };
        Err(Failed::new(2, format!("{} is a {}: {how}", candidate.name(), candidate.kind().word())))
    }
}

impl Bench<'_> {
    fn stands_in_for(&self, configured: &PluginConfig) -> PluginConfig {
        self.candidate.as_ref().map_or_else(|| configured.clone(), |candidate| candidate.in_place_of(configured))
    }

    // As the agent calls them: what passes is tried again.

    async fn sink(&self, faults: bool) -> Result<Vec<Judged>, Failed> {
        let none = || Failed::new(2, "there is no [sink] in the configuration; a source is tried with --vm, a cutover with --wave");
        let sink = self.host.sink(&self.stands_in_for(self.config.sink.as_ref().ok_or_else(none)?)).await.map_err(not_run)?;
        let sink = PersistentSink::new(Arc::new(sink), Arc::new(SystemClock::new()));
        Ok(kit::sink::judge(&sink, faults, Random::from_system(), &mut |judged| self.tell(judged)).await)
    }

    async fn source(&self, name: Option<&str>, vm: &str) -> Result<Vec<Judged>, Failed> {
        let config = self.stands_in_for(one_of(&self.config.sources, name, "source")?);
        let loaded = async || {
            let source = self.host.source(&config).await.map_err(not_run)?;
            Ok(PersistentSource::new(Arc::new(source), Arc::new(SystemClock::new())))
        };
        let (source, other) = (loaded().await?, loaded().await?);
        let judged = kit::source::judge(&source, &other, vm, Random::from_system(), &mut |judged| self.tell(judged)).await;
        judged.map_err(|fault| broke_off(format!("the source {} cannot be tried: {}", config.name, fault.message)))
    }

    async fn cutover(&self, name: Option<&str>, wave: &Path) -> Result<Vec<Judged>, Failed> {
        let config = self.stands_in_for(one_of(&self.config.cutovers, name, "cutover")?);
        let wave = Wave::read(wave).map_err(|error| Failed::new(2, error.to_string()))?;
        let context = context(&wave, &config.name).map_err(|why| Failed::new(2, why))?;
        let (cutover, other) = (self.host.cutover(&config).await.map_err(not_run)?, self.host.cutover(&config).await.map_err(not_run)?);
        let interrupted = async { drop(tokio::signal::ctrl_c().await) };
        let tried =
            kit::cutover::judge(&cutover, &other, context, Random::from_system(), interrupted.boxed(), &mut |judged| self.tell(judged))
                .await;
        let ended = tried.map_err(|fault| Failed::new(1, format!("the cutover {} cannot be tried: {}", config.name, fault.message)))?;
        match ended.left {
            None => Ok(ended.judged),
            Some(fault) => {
                if self.json {
                    print(&ended.judged);
                }
                Err(broke_off(fault.message))
            }
        }
    }

    fn tell(&self, judged: &Judged) {
        if self.json {
            return;
        }
        let (mark, what) = match &judged.outcome {
            Outcome::Holds => ("ok  ", String::new()),
            Outcome::Noted(note) => ("ok  ", note.clone()),
            Outcome::Fails(why) => ("FAIL", format!("{why}\n         it matters because {}", judged.because)),
        };
        println!("{mark} {:>2}  {}", judged.number, judged.claim);
        what.lines().for_each(|line| println!("         {}", plain(line.trim())));
    }
}

fn not_run(refused: PluginRefused) -> Failed {
    Failed::new(1, refused.to_string())
}

/// Something may have been touched by then.
fn broke_off(what: String) -> Failed {
    Failed { safe: PLUGIN_TESTED_SAFE, ..Failed::new(1, what) }
}

/// The one of this name, or the only one.
fn one_of<'a>(configured: &'a [PluginConfig], name: Option<&str>, kind: &str) -> Result<&'a PluginConfig, Failed> {
    let found = match name {
        Some(name) => configured.iter().find(|plugin| plugin.name == name),
        None => configured.first().filter(|_| configured.len() == 1),
    };
    let known = || match configured {
        [] => format!("there is no [[{kind}]] in the configuration"),
        some => {
            let names: Vec<&str> = some.iter().map(|plugin| plugin.name.as_str()).collect();
            format!("name one of the configured {kind}s by --{kind}: {}", names.join(", "))
        }
    };
    found.ok_or_else(|| Failed::new(2, known()))
}

/// This cutover's part of the wave.
fn context(wave: &Wave, cutover: &str) -> Result<Context, String> {
    let part = wave.cutovers.iter().find(|part| part.name == cutover);
    let part = part.ok_or_else(|| {
        format!("the wave {:?} has no [[cutover]] with name = {cutover:?}: nothing there is to be moved by it", wave.name)
    })?;
    let vm = |vm: &WaveVm| MovedVm {
        name: vm.name.clone(),
        source_addresses: vm.source_addresses.clone(),
        target_addresses: vm.target_addresses.clone(),
    };
    Ok(Context { wave: wave.name.clone(), vms: wave.vms.iter().map(vm).collect(), settings: part.settings_json()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cutover_gets_its_own_part_of_the_wave() {
        let text = "wave = \"w\"\n[[vm]]\nname = \"a\"\ntarget-addresses = [\"192.0.2.7\"]\n[[cutover]]\nname = \"dns\"\nsettings = { ttl = 60 }\n";
        let wave = Wave::parse(text).unwrap();
        let context = context(&wave, "dns").unwrap();
        assert_eq!((context.settings.as_str(), context.vms[0].target_addresses.len()), ("{\"ttl\":60}", 1));
        assert_eq!(
            super::context(&wave, "nat").unwrap_err(),
            "the wave \"w\" has no [[cutover]] with name = \"nat\": nothing there is to be moved by it"
        );
    }
}
