//! What the replication log relies on in a store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{Judged, Tried, judged, told};
use crate::log::layout::AttemptFolder;
use crate::log::seal::{BLOCK_OVERHEAD, BlockPlace, DataKey, Role, Sealed, Sealer};
use crate::log::sink::{CreateGuarantee, Entry, Sink};
use crate::model::{Attempt, BLOCK, CellMask, CycleNumber, Extent, FaultKind};
use crate::random::Random;

/// The largest segment that the format knows.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// More than two pages of any store that is known.
const MANY: usize = 2500;
const AT_ONCE: usize = 16;
/// As wit/sink.wit has it.
const KEY_BYTES_MAX: usize = 512;
const DELETED_AT_ONCE: usize = 1000;

type Try = for<'a> fn(&'a Trial<'a>) -> BoxFuture<'a, Tried>;

struct Claim {
    says: &'static str,
    because: &'static str,
    tried: Try,
}

const CLAIMS: &[Claim] = &[
    Claim {
        says: "describe names the store, and says that it takes objects of 16 MiB",
        because: "a segment may be that large",
        tried: |trial| trial.describes().boxed(),
    },
    Claim {
        says: "an object of one byte to 16 MiB comes back as it was written",
        because: "every other claim stands on it",
        tried: |trial| trial.comes_back().boxed(),
    },
    Claim {
        says: "creating what exists is a conflict, and changes nothing",
        because: "a second agent, or a retry, must not replace what was committed",
        tried: |trial| trial.is_created_once().boxed(),
    },
    Claim {
        says: "of 16 creates of one key at once exactly one succeeds, and its object is the one that is read",
        because: "two agents that own one VM are told apart by it",
        tried: |trial| trial.is_won_once().boxed(),
    },
    Claim {
        says: "a part is exactly the bytes that were asked for",
        because: "blocks are read out of the middle of segments",
        tried: |trial| trial.cuts().boxed(),
    },
    Claim {
        says: "a part that reaches past the end is invalid",
        because: "a segment that was cut short must not look like one that is whole",
        tried: |trial| trial.ends().boxed(),
    },
    Claim {
        says: "what is not there is not-found, and head says none",
        because: "the end of a list of pages is a page that is not there; an outage that looks like it would end a copy early",
        tried: |trial| trial.misses().boxed(),
    },
    Claim { says: "head tells the size", because: "sizes decide what is read", tried: |trial| trial.measures().boxed() },
    Claim {
        says: "every allowed key is an object of its own",
        because: "names of VMs and disks become parts of keys",
        tried: |trial| trial.names().boxed(),
    },
    Claim {
        says: "2,500 objects are listed, each once, in the order of their bytes, in pages that end",
        because: "a commit that is not listed is not applied",
        tried: |trial| trial.lists().boxed(),
    },
    Claim {
        says: "a page is the same when it is asked for again",
        because: "replies are lost, and the host asks once more",
        tried: |trial| trial.lists_again().boxed(),
    },
    Claim {
        says: "a prefix is text: it ends anywhere, and finds nothing else",
        because: "attempts of a cycle are found by half a name",
        tried: |trial| trial.finds().boxed(),
    },
    Claim {
        says: "deleting what is there and what is not both succeed, and what was there is gone",
        because: "a delete whose reply was lost is repeated",
        tried: |trial| trial.deletes().boxed(),
    },
    Claim {
        says: "1,000 keys are deleted in one call, with a result for each",
        because: "a purge of a large VM is millions of objects",
        tried: |trial| trial.deletes_many().boxed(),
    },
];

/// Tries every claim, and tells each as it is judged. Leaves nothing behind, unless deleting fails: then the last claims say so.
/// `troubled`: replies get lost on the way, so a create that is refused may have been done by its first try.
pub async fn judge(sink: &dyn Sink, troubled: bool, random: Random, tell: &mut (dyn FnMut(&Judged) + Send)) -> Vec<Judged> {
    let trial = Trial {
        sink,
        troubled,
        folder: format!("probe/kit-{:016x}/", random.number()),
        sealer: Sealer::new(&DataKey::random(&mut random.fork()), [1; 16], [2; 16]),
        random,
        written: Mutex::default(),
    };
    let mut all = Vec::new();
    for (index, claim) in CLAIMS.iter().enumerate() {
        let judged = judged(index + 1, claim.says, claim.because, (claim.tried)(&trial).await);
        tell(&judged);
        all.push(judged);
    }
    all
}

struct Trial<'a> {
    sink: &'a dyn Sink,
    troubled: bool,
    folder: String,
    sealer: Sealer,
    random: Random,
    /// To be deleted at the end.
    written: Mutex<BTreeSet<String>>,
}

impl Trial<'_> {
    // ---- claims ----

    async fn describes(&self) -> Tried {
        let described = self.sink.describe().await.map_err(|fault| told("describe", &fault))?;
        if described.product.trim().is_empty() || described.product.contains(['\n', '\r']) {
            return Err(format!("the product is called {:?}; it must be one line", described.product));
        }
        match described.object_bytes_max >= SEGMENT_BYTES_MAX {
            true => Ok(Some(described.product)),
            false => Err(format!("objects may have {} bytes only", described.object_bytes_max)),
        }
    }

    async fn comes_back(&self) -> Tried {
        for bytes in [1, 1000, (1 << 20) + 13] {
            let (key, body) = (self.key(&format!("back-{bytes}")), self.body(bytes));
            self.put(&key, &body).await?;
            self.equals(&key, None, &body.whole()).await?;
        }
        let (key, segment) = (self.key("segment"), self.segment());
        self.put(&key, &segment).await?;
        self.equals(&key, None, &segment.whole()).await?;
        Ok(None)
    }

    async fn is_created_once(&self) -> Tried {
        let (key, first, second) = (self.key("once"), self.body(500), self.body(500));
        self.put(&key, &first).await?;
        for (what, body) in [("another object", &second), ("the same object", &first)] {
            match self.sink.put(&key, body.clone()).await {
                Err(fault) if fault.kind == FaultKind::Conflict => {}
                Err(fault) => return Err(told(&format!("a second create with {what} is no conflict"), &fault)),
                Ok(()) => return Err(format!("a second create with {what} succeeded")),
            }
        }
        self.equals(&key, None, &first.whole()).await?;
        Ok(None)
    }

    async fn is_won_once(&self) -> Tried {
        let key = self.key("race");
        self.written.lock().expect("nobody panics while it holds this").insert(key.clone());
        let bodies: Vec<Sealed> = (0..AT_ONCE).map(|_| self.body(4000)).collect();
        let results = futures::future::join_all(bodies.iter().map(|body| self.sink.put(&key, body.clone()))).await;
        if let Some(fault) = results.iter().filter_map(|result| result.as_ref().err()).find(|fault| fault.kind != FaultKind::Conflict) {
            return Err(told("a create that came too late is no conflict", fault));
        }
        let winners: Vec<&Sealed> = bodies.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(body, _)| body).collect();
        let described = self.sink.describe().await.map_err(|fault| told("describe", &fault))?;
        match (&winners[..], described.create) {
            ([winner], CreateGuarantee::Atomic) => self.equals(&key, None, &winner.whole()).await.map(|()| None),
            // The winner's own reply may have been lost, and it was asked once more.
            ([], _) => match self.sink.get(&key, None).await {
                Ok(read) if bodies.iter().any(|body| body.whole() == read) => Ok(Some("the winner's reply was lost".to_owned())),
                _ => Err("none of them succeeded".to_owned()),
            },
            (several, CreateGuarantee::Atomic) => {
                Err(format!("{} of them succeeded, and the plugin says that only one can", several.len()))
            }
            (several, CreateGuarantee::Advisory) => {
                Ok(Some(format!("{} succeeded; the plugin says that its store cannot tell, so fencing is off", several.len())))
            }
        }
    }

    async fn cuts(&self) -> Tried {
        let (key, body) = (self.key("parts"), self.body(300_000));
        self.put(&key, &body).await?;
        let whole = body.whole();
        let length = whole.len() as u64;
        for (offset, part) in [(0, 1), (length - 1, 1), (1, length - 1), (0, length), (65_536, 65_537)] {
            let wanted = whole.slice(offset as usize..(offset + part) as usize);
            self.equals(&key, Some(Extent::new(offset, part)), &wanted).await?;
        }
        Ok(None)
    }

    async fn ends(&self) -> Tried {
        let (key, body) = (self.key("end"), self.body(1000));
        self.put(&key, &body).await?;
        let length = body.len() as u64;
        for extent in [Extent::new(length, 1), Extent::new(length - 1, 2), Extent::new(length + 5000, 10)] {
            match self.sink.get(&key, Some(extent)).await {
                Err(fault) if fault.kind == FaultKind::Invalid => {}
                Err(fault) => return Err(told(&format!("the range {}+{} of {length} bytes", extent.offset, extent.length), &fault)),
                Ok(bytes) => return Err(format!("the range {}+{} of {length} bytes gave {}", extent.offset, extent.length, bytes.len())),
            }
        }
        Ok(None)
    }

    async fn misses(&self) -> Tried {
        let key = self.key("nothing");
        for range in [None, Some(Extent::new(0, 1))] {
            match self.sink.get(&key, range).await {
                Err(fault) if fault.kind == FaultKind::NotFound => {}
                Err(fault) => return Err(told("get of what is not there", &fault)),
                Ok(_) => return Err("get answers an object that nobody wrote".to_owned()),
            }
        }
        match self.sink.head(&key).await {
            Ok(None) => Ok(None),
            Ok(Some(size)) => Err(format!("head says that an object which nobody wrote has {size} bytes")),
            Err(fault) => Err(told("head of what is not there", &fault)),
        }
    }

    async fn measures(&self) -> Tried {
        let (key, body) = (self.key("size"), self.body(70_001));
        self.put(&key, &body).await?;
        match self.sink.head(&key).await {
            Ok(Some(size)) if size == body.len() as u64 => Ok(None),
            Ok(other) => Err(format!("head says {other:?} of an object of {} bytes", body.len())),
            Err(fault) => Err(told("head", &fault)),
        }
    }

    async fn names(&self) -> Tried {
        let folder = self.key("names/");
        let mut longest = folder.clone() + &"sixty-three-letters-and-a-separator-are-a-part-of-the-longest-key/".repeat(8);
        longest.truncate(KEY_BYTES_MAX);
        let odd = ["a", "A", "-", "_", ".hidden", "a.b.c", "trailing.", "0", "x-1_2.3", "deep/er/still"];
        let keys: Vec<String> = odd.iter().map(|name| format!("{folder}{name}")).chain([longest]).collect();
        let bodies: BTreeMap<&String, Sealed> = keys.iter().map(|key| (key, self.body(100))).collect();
        for (key, body) in &bodies {
            self.put(key, body).await?;
        }
        for (key, body) in &bodies {
            self.equals(key, None, &body.whole()).await?;
        }
        let listed: Vec<String> = self.all(&folder).await?.into_iter().map(|entry| entry.key).collect();
        match listed.iter().eq(bodies.keys().copied()) {
            true => Ok(None),
            false => Err(format!("written were {:?}, listed are {listed:?}", bodies.keys())),
        }
    }

    async fn lists(&self) -> Tried {
        let body = self.body(10);
        let keys: Vec<String> = (0..MANY).map(|number| self.key(&format!("many/n-{number:05}"))).collect();
        let puts: Vec<_> = keys.iter().map(|key| self.put(key, &body)).collect();
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        let listed = self.all(&self.key("many/")).await?;
        if !listed.iter().map(|entry| &entry.key).eq(&keys) {
            let first = keys.iter().zip(&listed).find(|(key, entry)| **key != entry.key);
            return Err(format!("{MANY} were written and {} are listed; the first that differs: {first:?}", listed.len()));
        }
        match listed.iter().find(|entry| entry.size != body.len() as u64) {
            None => Ok(None),
            Some(entry) => Err(format!("{} has {} bytes and is listed with {}", entry.key, body.len(), entry.size)),
        }
    }

    async fn lists_again(&self) -> Tried {
        let prefix = self.key("many/");
        let page = async |cursor: Option<String>| self.sink.entries(&prefix, cursor).await.map_err(|fault| told("entries", &fault));
        let first = page(None).await?;
        let Some(next) = first.next.clone() else { return Ok(Some("everything comes in one page".to_owned())) };
        let (second, again) = (page(Some(next.clone())).await?, page(Some(next)).await?);
        if page(None).await? != first || second != again {
            return Err("the same cursor gave two different pages".to_owned());
        }
        Ok(None)
    }

    async fn finds(&self) -> Tried {
        for (prefix, count) in
            [("many/n-0", MANY), ("many/n-0000", 10), ("many/n-00007", 1), ("many/m", 0), ("man", MANY), ("many/n-00007/", 0)]
        {
            let found = self.all(&self.key(prefix)).await?;
            if found.len() != count {
                return Err(format!("{count} keys begin with …{prefix}, and {} are found", found.len()));
            }
            if let Some(other) = found.iter().find(|entry| !entry.key.starts_with(&self.key(prefix))) {
                return Err(format!("{} was found, and does not begin with …{prefix}", other.key));
            }
        }
        Ok(None)
    }

    async fn deletes(&self) -> Tried {
        let (there, never) = (self.key("gone"), self.key("never"));
        self.put(&there, &self.body(10)).await?;
        for round in ["the first time", "again"] {
            self.delete(&[there.clone(), never.clone()]).await.map_err(|why| format!("{round}: {why}"))?;
        }
        match self.sink.head(&there).await {
            Ok(None) => Ok(None),
            other => Err(format!("it is still there: {other:?}")),
        }
    }

    /// Deletes all that was written here, listed or not, so it comes last.
    async fn deletes_many(&self) -> Tried {
        let keys: Vec<String> = std::mem::take(&mut *self.written.lock().expect("nobody panics while it holds this")).into_iter().collect();
        for keys in keys.chunks(DELETED_AT_ONCE) {
            self.delete(keys).await?;
        }
        if keys.len() < DELETED_AT_ONCE {
            return Err(format!("only {} objects could be written, too few for this", keys.len()));
        }
        match self.all(&self.folder).await?.len() {
            0 => Ok(None),
            left => Err(format!("{left} of {} are left below {}", keys.len(), self.folder)),
        }
    }

    // ---- what claims are made of ----

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    /// An object around so many random bytes.
    fn body(&self, bytes: usize) -> Sealed {
        let mut plain = vec![0; bytes];
        self.random.fill(&mut plain);
        self.sealer.seal_object(Role::Store, "kit", &plain, &mut self.random.fork())
    }

    /// As large as the format knows, and in parts, as the pipeline hands it over.
    fn segment(&self) -> Sealed {
        let folder = AttemptFolder::new(&"kit".into(), CycleNumber(1), Attempt(1), &"kit".into());
        let block = |number| {
            let mut plain = vec![0; BLOCK as usize - BLOCK_OVERHEAD];
            self.random.fill(&mut plain);
            let place = BlockPlace { folder: &folder, block: number, cells: CellMask::first(16), encoding: 0 };
            self.sealer.seal_block(place, plain, &mut self.random.fork())
        };
        Sealed::segment((0..SEGMENT_BYTES_MAX / BLOCK).map(block).collect())
    }

    async fn put(&self, key: &str, body: &Sealed) -> Result<(), String> {
        self.written.lock().expect("nobody panics while it holds this").insert(key.to_owned());
        match self.sink.put(key, body.clone()).await {
            Err(fault) if fault.kind == FaultKind::Conflict && self.troubled => self.equals(key, None, &body.whole()).await,
            created => created.map_err(|fault| told(&format!("create of {key}"), &fault)),
        }
    }

    async fn equals(&self, key: &str, range: Option<Extent>, wanted: &Bytes) -> Result<(), String> {
        let got = self.sink.get(key, range).await.map_err(|fault| told(&format!("get of {key}"), &fault))?;
        match got == wanted {
            true => Ok(()),
            false => Err(format!("{key}, {range:?}: {} bytes came, and not the {} that were written", got.len(), wanted.len())),
        }
    }

    /// Every entry below a prefix; a list that never ends is ended.
    async fn all(&self, prefix: &str) -> Result<Vec<Entry>, String> {
        let (mut all, mut cursor) = (Vec::new(), None);
        for _ in 0..2 * MANY {
            let page = self.sink.entries(prefix, cursor).await.map_err(|fault| told("entries", &fault))?;
            all.extend(page.entries);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(all);
            }
            if all.len() > 4 * MANY {
                break;
            }
        }
        Err(format!("the list below {prefix} does not end"))
    }

    async fn delete(&self, keys: &[String]) -> Result<(), String> {
        let results = self.sink.delete(keys).await.map_err(|fault| told("delete", &fault))?;
        if results.len() != keys.len() {
            return Err(format!("{} keys were to be deleted, and {} results came", keys.len(), results.len()));
        }
        match results.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(fault) => Err(told("delete", &fault)),
        }
    }
}

#[cfg(test)]
mod tests;
