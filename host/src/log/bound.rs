//! Further stores: each is bound to one home store, once and for ever, and never taken for another.
//!
//! ```text
//!   further store                                   home store
//!   bound.json, in the clear            ◀─ same ─▶  stores/<number>, sealed
//!   { format, home, store, name }        store,     { format, store, name }
//!                                        name       number = the first 4 bytes of `store`
//!
//!   begin:  nothing in either place ─▶ 1. bound.json (create-only) ─▶ 2. stores/<number>      a crash in between: 2 is done at the next start
//!   open:   both agree ─▶ bound;  anything else ─▶ refused by name, and nothing is begun or written
//! ```
//!
//! A place that the home store knows and that lacks `bound.json` was emptied, or is another place: to begin it anew would hide that segments
//! are lost. `bound.json` is in the clear, so that a place that belongs to another home can be told from one that is damaged. It gives no
//! right to anything: every block that is read is verified against the home store's pages.

use serde::{Deserialize, Serialize};

use crate::model::commit::FORMAT;
use crate::model::{Fault, FaultKind, StoreNumber};
use crate::random::Random;

use super::layout::{self, hex};
use super::seal::Role;
use super::sink::Sink;
use super::store::{Log, create_public};

/// What a further store says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    format: u32,
    /// The home store's id.
    pub home: String,
    /// Its own: 32 hexadecimal digits.
    pub store: String,
    /// What the operator calls it, on every side.
    pub name: String,
}

impl Bound {
    pub fn new(home: [u8; 16], store: [u8; 16], name: String) -> Bound {
        Bound { format: FORMAT, home: hex(&home), store: hex(&store), name }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("it has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Bound, Fault> {
        let bound: Bound = serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("bound.json cannot be read: {error}")))?;
        if bound.format != FORMAT {
            return Err(Fault::unsupported(format!("a further store of format {} was begun by a newer version", bound.format)));
        }
        number_of(&bound.store).map(|_| bound)
    }

    pub fn number(&self) -> StoreNumber {
        number_of(&self.store).expect("checked when it was read, and random when it was made")
    }
}

/// What the home store knows of a further one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreEntry {
    format: u32,
    pub store: String,
    pub name: String,
}

impl StoreEntry {
    pub fn of(bound: &Bound) -> StoreEntry {
        StoreEntry { format: FORMAT, store: bound.store.clone(), name: bound.name.clone() }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<StoreEntry, Fault> {
        let entry: StoreEntry =
            serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("the entry of a store cannot be read: {error}")))?;
        match entry.format == FORMAT {
            true => Ok(entry),
            false => Err(Fault::unsupported(format!("the entry of a store of format {} was written by a newer version", entry.format))),
        }
    }
}

fn number_of(store: &str) -> Result<StoreNumber, Fault> {
    let digits = store.get(..8).filter(|_| store.len() == 32 && store.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).map(StoreNumber);
    number.filter(|number| !number.is_home()).ok_or_else(|| Fault::corrupt("the id of a further store is no id"))
}

/// Whether a place that holds nothing may become the store that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Allowed,
    /// Who only reads has nothing to put there, and could be pointed at the wrong place.
    Never,
}

/// Further stores that the home store knows. An entry that does not open has no name any more; its number still counts.
pub async fn registered(home: &Log) -> Result<Vec<(StoreNumber, Option<StoreEntry>)>, Fault> {
    let mut all = Vec::new();
    for listed in home.list(layout::STORES).await? {
        let Some(number) = layout::store_of(&listed.key) else { continue };
        let entry = match home.read(Role::Further, &listed.key).await.and_then(|bytes| StoreEntry::decode(&bytes)) {
            Ok(entry) => Some(entry),
            Err(fault) if matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound) => {
                tracing::warn!(store = %number, message = %fault.message, "the home store's entry of a further store is ignored");
                None
            }
            Err(fault) => return Err(fault),
        };
        all.push((number, entry));
    }
    Ok(all)
}

/// What stands in the place of a further store; none when nothing does.
pub async fn found(sink: &dyn Sink) -> Result<Option<Bound>, Fault> {
    match sink.get(layout::BOUND, None).await {
        Ok(bytes) => Bound::decode(&bytes).map(Some),
        Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Makes sure that the place is the further store of this name, and begins it where that is right. `known`: its id, as the caller met it before.
/// `conflict` for a place that is something else; `unavailable` for one that nobody began yet.
pub async fn bind(home: &Log, name: &str, sink: &dyn Sink, known: Option<&str>, begin: Begin) -> Result<Bound, Fault> {
    let bound = match (examine(home, name, sink, known).await?, begin) {
        (Some(bound), _) => bound,
        (None, Begin::Allowed) => begin_in(home, name, sink).await?,
        (None, Begin::Never) => {
            return Err(Fault::unavailable(format!("the store {name} is not there yet: a gateway whose configuration names it begins it")));
        }
    };
    // Also where it stood before: a crash may have come between the two objects.
    let entry = StoreEntry::of(&bound).encode();
    match home.create(Role::Further, &layout::store_entry(bound.number()), &entry).await {
        // It does not open. Only the name is lost with it, and `registered` says so.
        Err(fault) if fault.kind == FaultKind::Corrupt => {}
        result => result?,
    }
    Ok(bound)
}

/// What stands in the place, if it is what it should be; none where a store of this name may begin. Writes nothing.
pub async fn examine(home: &Log, name: &str, sink: &dyn Sink, known: Option<&str>) -> Result<Option<Bound>, Fault> {
    let registered = registered(home).await?;
    if let Some(bound) = found(sink).await? {
        check(home, name, &bound, known, &registered)?;
        return Ok(Some(bound));
    }
    let mut entries = registered.iter().filter_map(|(_, entry)| entry.as_ref());
    let before = known.or_else(|| entries.find(|entry| entry.name == name).map(|entry| entry.store.as_str()));
    if let Some(store) = before {
        return Err(gone(name, store));
    }
    match sink.head(layout::STORE).await? {
        Some(_) => Err(wrong(name, "it is a home store itself".to_owned())),
        None => Ok(None),
    }
}

fn check(
    home: &Log,
    name: &str,
    bound: &Bound,
    known: Option<&str>,
    registered: &[(StoreNumber, Option<StoreEntry>)],
) -> Result<(), Fault> {
    let ours = hex(&home.sealer().store_id());
    if bound.home != ours {
        return Err(wrong(name, format!("it belongs to the home store {}, and this one is {ours}", bound.home)));
    }
    if bound.name != name {
        return Err(wrong(name, format!("it is the store {}: are two stores swapped in the configuration?", bound.name)));
    }
    let mut of_this_name = registered.iter().filter_map(|(_, entry)| entry.as_ref()).filter(|entry| entry.name == name).peekable();
    let other = of_this_name.peek().is_some() && of_this_name.all(|entry| entry.store != bound.store);
    if other || known.is_some_and(|known| known != bound.store) {
        return Err(wrong(name, format!("its id is {}, which is not the one known for this name", bound.store)));
    }
    Ok(())
}

fn wrong(name: &str, why: String) -> Fault {
    Fault::conflict(format!("the place configured for the store {name} is another one: {why}. Nothing was written"))
}

fn gone(name: &str, store: &str) -> Fault {
    Fault::conflict(format!(
        "the store {name} ({store}) is gone: bound.json is missing in the place configured for it. It was emptied, or this is another place. \
         Nothing was begun in it. Restore the store, or point the configuration at the right place"
    ))
}

async fn begin_in(home: &Log, name: &str, sink: &dyn Sink) -> Result<Bound, Fault> {
    let taken: Vec<StoreNumber> = registered(home).await?.into_iter().map(|(number, _)| number).collect();
    let bound = Bound::new(home.sealer().store_id(), new_id(home.random(), &taken), name.to_owned());
    match create_public(sink, layout::BOUND, bound.encode()).await {
        Ok(()) => Ok(bound),
        // Somebody else began it a moment ago: theirs counts, if it is this one.
        Err(fault) if fault.kind == FaultKind::Conflict => examine(home, name, sink, None).await?.ok_or(fault),
        Err(fault) => Err(fault),
    }
}

fn new_id(random: &Random, taken: &[StoreNumber]) -> [u8; 16] {
    let mut id = [0; 16];
    loop {
        random.fill(&mut id);
        let number = StoreNumber(u32::from_be_bytes([id[0], id[1], id[2], id[3]]));
        if !number.is_home() && !taken.contains(&number) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
