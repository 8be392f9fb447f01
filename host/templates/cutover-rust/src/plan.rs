//! The steps of a wave: first every name is kept for a short time only, then every name points to the target.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use transload_guest::cutover::{Context, Phase, Step};
use transload_guest::fault::Fault;

use crate::server::Set;

/// What the operator writes for this plugin into the wave file. An unknown key is refused: a typing mistake must not become a default.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// By VM, the names that move with it.
    names: BTreeMap<String, Vec<String>>,
    /// Seconds that resolvers may keep an address during the move.
    #[serde(default = "short")]
    ttl: u32,
    /// Seconds that they may keep it now: so long it takes until everybody has the short one.
    #[serde(default = "long")]
    old_ttl: u32,
}

fn short() -> u32 {
    60
}

fn long() -> u32 {
    3600
}

/// The detail of a step: one record set, and what becomes of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Change {
    pub name: String,
    /// "A" or "AAAA".
    pub kind: String,
    pub ttl: u32,
    /// None: only the TTL is lowered.
    pub addresses: Option<Vec<String>>,
}

impl Change {
    pub fn of(step: &Step) -> Result<Change, Fault> {
        let foreign = |error| {
            Fault::invalid(format!(
                "Step {} is none that this plugin plans: {error}.",
                step.id
            ))
        };
        serde_json::from_str(&step.detail).map_err(foreign)
    }

    /// What `before` becomes. A TTL that is shorter already stays.
    pub fn done(&self, before: &Set) -> Set {
        match &self.addresses {
            Some(addresses) => Set {
                ttl: before.ttl.map_or(self.ttl, |ttl| ttl.min(self.ttl)).into(),
                addresses: addresses.clone(),
            },
            None => Set {
                ttl: before.ttl.map(|ttl| ttl.min(self.ttl)),
                addresses: before.addresses.clone(),
            },
        }
    }

    pub fn is_done(&self, now: &Set) -> bool {
        match &self.addresses {
            Some(addresses) => now.addresses == *addresses,
            None => now.ttl.is_none_or(|ttl| ttl <= self.ttl),
        }
    }
}

pub fn steps(context: &Context) -> Result<Vec<Step>, Fault> {
    let settings: Settings = serde_json::from_str(&context.settings).map_err(wrong)?;
    if let Some(vm) = settings
        .names
        .keys()
        .find(|name| context.vms.iter().all(|vm| vm.name != **name))
    {
        return Err(wrong(format!("VM {vm} is not in this wave")));
    }
    let (mut prepare, mut switch) = (Vec::new(), Vec::new());
    for vm in &context.vms {
        for name in settings.names.get(&vm.name).into_iter().flatten() {
            let name = full(name)?;
            for (kind, addresses) in by_kind(&vm.target_addresses)? {
                let lowered = Change {
                    name: name.clone(),
                    kind: kind.to_owned(),
                    ttl: settings.ttl,
                    addresses: None,
                };
                let summary = format!(
                    "resolvers keep {name} {kind} for {} s at most",
                    settings.ttl
                );
                prepare.push(step(
                    "ttl",
                    Phase::Prepare,
                    summary,
                    &lowered,
                    settings.old_ttl,
                )?);
                let summary = format!("{name} {kind} answers {}", addresses.join(", "));
                let moved = Change {
                    addresses: Some(addresses),
                    ..lowered
                };
                switch.push(step(
                    "switch",
                    Phase::Switch,
                    summary,
                    &moved,
                    settings.ttl,
                )?);
            }
        }
    }
    if switch.is_empty() {
        return Err(wrong(
            "no VM of this wave has both names and target addresses",
        ));
    }
    prepare.append(&mut switch);
    Ok(prepare)
}

fn step(
    word: &str,
    phase: Phase,
    summary: String,
    change: &Change,
    settle_seconds: u32,
) -> Result<Step, Fault> {
    let id = format!(
        "{word}:{}:{}",
        change.name,
        change.kind.to_ascii_lowercase()
    );
    let detail =
        serde_json::to_string(change).map_err(|error| Fault::internal(error.to_string()))?;
    Ok(Step {
        id,
        phase,
        summary,
        detail,
        settle_seconds,
    })
}

/// With the dot at its end, as the server writes it.
fn full(name: &str) -> Result<String, Fault> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !name.is_empty() && name.bytes().all(plain) {
        true => Ok(format!("{name}.")),
        false => Err(wrong(format!("{name:?} is no name"))),
    }
}

/// The addresses of each kind, in the order in which `Server::read` answers them.
fn by_kind(addresses: &[String]) -> Result<Vec<(&'static str, Vec<String>)>, Fault> {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for address in addresses {
        match address
            .parse()
            .map_err(|_| wrong(format!("{address:?} is no address")))?
        {
            IpAddr::V4(address) => four.push(address.to_string()),
            IpAddr::V6(address) => six.push(address.to_string()),
        }
    }
    let sorted = |mut addresses: Vec<String>| {
        addresses.sort();
        addresses
    };
    Ok([("A", sorted(four)), ("AAAA", sorted(six))]
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .collect())
}

fn wrong(why: impl std::fmt::Display) -> Fault {
    Fault::invalid(format!("This wave cannot be planned: {why}."))
}
