//! A hypervisor that does all of it right passes, and each that does one thing wrong fails at that claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::Outcome as Told;
use super::*;
use crate::model::{
    DiskHome, DiskPlace, DiskSize, DiskSummary, Finding, Firmware, Placement, PowerAction, PowerState, ResyncReason, SourceDescription,
    VmDefinition,
};
use crate::pipeline::source::ByteSource;

const SIZE: u64 = 9 << 20;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Twist {
    None,
    NoProduct,
    NeverEnds,
    ListsTwice,
    PagesMove,
    LosesADisk,
    PlacesNoDisk,
    AnyFingerprint,
    OpensForAnybody,
    SecondSnapshot,
    ForgetsAtRestart,
    FindsEverything,
    PiecesDiffer,
    ReadsBeyond,
    ClosesOnce,
    StaysOpen,
    Gap,
    EndsEarly,
    UnknownIsUnchanged,
    WantsResync,
    NoTracking,
}

#[derive(Clone)]
struct Hypervisor {
    twist: Twist,
    /// Whether this is the instance after a restart.
    later: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// By token: its tag.
    open: BTreeMap<String, String>,
    opened: usize,
    asked: usize,
    ended: BTreeMap<String, Ended>,
}

impl Hypervisor {
    fn new(twist: Twist) -> Hypervisor {
        Hypervisor { twist, later: false, shared: Arc::default() }
    }

    fn is(&self, twist: Twist) -> bool {
        self.twist == twist
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    fn check(&self, vm: &VmRef) -> Result<(), Fault> {
        match vm.fingerprint.ends_with("-of-another") && !self.is(Twist::AnyFingerprint) {
            true => Err(Fault::conflict("this is another VM")),
            false => Ok(()),
        }
    }

    fn knows(&self, token: &SnapshotToken) -> Result<(), Fault> {
        let known = self.shared().open.contains_key(token.as_str()) || self.is(Twist::StaysOpen);
        match known && !(self.later && self.is(Twist::ForgetsAtRestart)) {
            true => Ok(()),
            false => Err(Fault::not_found("no such snapshot")),
        }
    }

    /// Half of the operations take their time.
    fn eventually<T>(&self, name: String, ended: Ended) -> Outcome<T> {
        self.shared().ended.insert(name.clone(), ended);
        Outcome::Pending { operation: name, poll_after: Duration::from_millis(1) }
    }
}

fn vm(number: usize) -> VmSummary {
    VmSummary {
        vm: VmRef { id: format!("vm-{number}"), fingerprint: format!("uuid-{number}") },
        name: format!("db{number:02}"),
        folder: "prod".to_owned(),
        power: PowerState::On,
        host: "esx".to_owned(),
        guest_os: "linux".to_owned(),
        disks: ["a", "b"].map(|id| DiskSummary { id: DiskId(id.to_owned()), label: format!("disk {id}"), size: SIZE }).to_vec(),
    }
}

struct Bytes {
    range: Extent,
    whole_only: bool,
}

#[async_trait]
impl ByteSource for Bytes {
    fn length(&self) -> u64 {
        self.range.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let from = self.range.offset + offset;
        buffer.iter_mut().zip(from..).for_each(|(byte, place)| *byte = (place % 251) as u8);
        if self.whole_only && (buffer.len() as u64) < self.range.length {
            buffer[0] ^= 1;
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Hypervisor {
    async fn describe(&self) -> Result<SourceDescription, Fault> {
        let product = if self.is(Twist::NoProduct) { " " } else { "a hypervisor in memory" };
        Ok(SourceDescription { product: product.to_owned(), disks_per_host_max: None })
    }

    async fn inventory(&self, cursor: Option<String>) -> Result<InventoryPage, Fault> {
        let page: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        self.shared().asked += 1;
        let shift = if self.is(Twist::PagesMove) { self.shared().asked * 100 } else { 0 };
        let mut vms = vec![vm(page * 2), vm(page * 2 + 1 + shift)];
        if self.is(Twist::ListsTwice) && page == 2 {
            vms.push(vm(0));
        }
        let last = page == 2 && !self.is(Twist::NeverEnds);
        Ok(InventoryPage { vms, next: (!last).then(|| (page + 1).to_string()) })
    }

    async fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        self.check(vm)?;
        Ok(Vec::new())
    }

    async fn definition(&self, wanted: &VmRef) -> Result<VmDefinition, Fault> {
        self.check(wanted)?;
        let place = |id: &str| DiskPlace { disk: DiskId(id.to_owned()), controller: "scsi".to_owned(), controller_number: 0, unit: 0 };
        let disks = if self.is(Twist::LosesADisk) { vec![place("a")] } else { vec![place("a"), place("b")] };
        Ok(VmDefinition {
            name: "db00".to_owned(),
            cpus: 2,
            memory_mib: 1024,
            firmware: Firmware::Efi,
            secure_boot: false,
            guest_os: "linux".to_owned(),
            nics: Vec::new(),
            disks,
        })
    }

    async fn placement(&self, vm: &VmRef) -> Result<Placement, Fault> {
        self.check(vm)?;
        let ids: &[&str] = if self.is(Twist::PlacesNoDisk) { &["a"] } else { &["a", "b"] };
        let disks = ids.iter().map(|id| DiskHome { disk: DiskId((*id).to_owned()), datastore: None }).collect();
        Ok(Placement { host: "esx".to_owned(), datastores: Vec::new(), disks })
    }

    async fn enable_tracking(&self, _vm: &VmRef) -> Result<Outcome<()>, Fault> {
        unreachable!("the kit leaves tracking as it is")
    }

    async fn reset_tracking(&self, _vm: &VmRef) -> Result<Outcome<()>, Fault> {
        unreachable!("the kit leaves tracking as it is")
    }

    async fn open_snapshot(&self, vm: &VmRef, tag: &str, _quiesce: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault> {
        let refused = self.check(vm);
        if refused.is_err() && !self.is(Twist::OpensForAnybody) {
            refused.clone()?;
        }
        let known = self.shared().open.iter().find(|(_, open)| *open == tag).map(|(token, _)| token.clone());
        let known = known.filter(|_| !self.is(Twist::SecondSnapshot));
        let again = known.is_some();
        let token = known.unwrap_or_else(|| {
            let mut shared = self.shared();
            shared.opened += 1;
            format!("snapshot-{}", shared.opened)
        });
        self.shared().open.insert(token.clone(), tag.to_owned());
        refused?;
        let opened = OpenedSnapshot { token: SnapshotToken(token.clone()), quiesced: false };
        Ok(if again { Outcome::Done(opened) } else { self.eventually(format!("open {token}"), Ended::Opened(opened)) })
    }

    async fn close_snapshot(&self, token: &SnapshotToken, _closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        let there = self.shared().open.remove(token.as_str()).is_some();
        if !there && self.is(Twist::ClosesOnce) {
            return Err(Fault::not_found("no such snapshot"));
        }
        Ok(if there { self.eventually(format!("close {token}"), Ended::Closed(Vec::new())) } else { Outcome::Done(Vec::new()) })
    }

    async fn release_markers(&self, _vm: &VmRef, _markers: &[DiskMarker]) -> Result<(), Fault> {
        Ok(())
    }

    async fn leftovers(&self, _vm: &VmRef, tag_prefix: &str) -> Result<Vec<SnapshotToken>, Fault> {
        let shared = self.shared();
        let fits = |tag: &&String| tag.starts_with(tag_prefix) || self.is(Twist::FindsEverything);
        Ok(shared.open.iter().filter(|(_, tag)| fits(tag)).map(|(token, _)| SnapshotToken(token.clone())).collect())
    }

    async fn disks(&self, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
        self.knows(token)?;
        let marker = (!self.is(Twist::NoTracking)).then(|| Marker(format!("m/{token}")));
        let disk = |id: &str| SnapshotDisk {
            id: DiskId(id.to_owned()),
            label: format!("disk {id}"),
            fingerprint: "f".to_owned(),
            size: DiskSize::new(SIZE).unwrap(),
            marker: marker.clone(),
        };
        Ok(vec![disk("a"), disk("b")])
    }

    async fn changed(&self, token: &SnapshotToken, _disk: &DiskId, since: &Marker, cursor: Option<String>) -> Result<Changes, Fault> {
        self.knows(token)?;
        let resync = |code: &str| Ok(Changes::Resync(ResyncReason { code: code.to_owned(), message: String::new() }));
        if self.is(Twist::WantsResync) {
            return resync("tracking-reset");
        }
        if !since.as_str().starts_with("m/") && !self.is(Twist::UnknownIsUnchanged) {
            return resync("marker-unknown");
        }
        let covers = match cursor {
            None => Extent::new(0, SIZE / 3),
            Some(_) if self.is(Twist::Gap) => Extent::new(SIZE / 3 + 4096, SIZE - SIZE / 3 - 4096),
            Some(_) if self.is(Twist::EndsEarly) => Extent::new(SIZE / 3, SIZE / 3),
            Some(_) => Extent::new(SIZE / 3, SIZE - SIZE / 3),
        };
        let next = (covers.offset == 0).then(|| "on".to_owned());
        Ok(Changes::Page(ChangedPage { covers, extents: vec![Extent::new(covers.offset + 512, 1024)], next }))
    }

    async fn open_range(&self, token: &SnapshotToken, _disk: &DiskId, range: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        self.knows(token)?;
        if range.end() > SIZE && !self.is(Twist::ReadsBeyond) {
            return Err(Fault::invalid("beyond the end"));
        }
        Ok(Box::new(Bytes { range, whole_only: self.is(Twist::PiecesDiffer) }))
    }

    async fn power(&self, _vm: &VmRef, _action: PowerAction) -> Result<Outcome<PowerState>, Fault> {
        unreachable!("the kit leaves the VM as it is")
    }

    async fn poll(&self, operation: &str) -> Result<Outcome<Ended>, Fault> {
        self.shared().ended.get(operation).cloned().map(Outcome::Done).ok_or_else(|| Fault::not_found("no such operation"))
    }

    async fn cancel(&self, _operation: &str) -> Result<(), Fault> {
        Ok(())
    }
}

/// The numbers of the claims that do not hold, and of those that hold with a note.
async fn found(twist: Twist) -> (Vec<usize>, Vec<usize>) {
    let hypervisor = Hypervisor::new(twist);
    let later = Hypervisor { later: true, ..hypervisor.clone() };
    let mut told = Vec::new();
    let all = judge(&hypervisor, &later, "db02", Random::from_seed(7), &mut |judged| told.push(judged.number)).await.unwrap();
    assert_eq!(told, (1..=CLAIMS.len()).collect::<Vec<_>>());
    assert!(hypervisor.shared().open.is_empty(), "{twist:?}: snapshots are left");
    let numbers = |fits: fn(&Told) -> bool| all.iter().filter(|judged| fits(&judged.outcome)).map(|judged| judged.number).collect();
    (numbers(|outcome| matches!(outcome, Told::Fails(_))), numbers(|outcome| matches!(outcome, Told::Noted(_))))
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_does_all_of_it_passes() {
    assert_eq!(found(Twist::None).await, (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_it_says_that_it_cannot_is_noted() {
    assert_eq!(found(Twist::WantsResync).await, (vec![], vec![12]));
    assert_eq!(found(Twist::NoTracking).await, (vec![], vec![12]));
}

#[tokio::test(start_paused = true)]
async fn each_wrong_turn_fails_at_its_claim() {
    for (twist, claims) in [
        (Twist::NoProduct, &[1][..]),
        (Twist::NeverEnds, &[2]),
        (Twist::ListsTwice, &[2]),
        (Twist::PagesMove, &[3]),
        (Twist::LosesADisk, &[4]),
        (Twist::PlacesNoDisk, &[4]),
        (Twist::AnyFingerprint, &[5]),
        (Twist::OpensForAnybody, &[5, 8, 11]),
        (Twist::SecondSnapshot, &[6, 7, 8, 11]),
        (Twist::ForgetsAtRestart, &[7, 9]),
        (Twist::FindsEverything, &[8]),
        (Twist::PiecesDiffer, &[9]),
        (Twist::ReadsBeyond, &[10]),
        (Twist::ClosesOnce, &[11]),
        (Twist::StaysOpen, &[11]),
        (Twist::Gap, &[12]),
        (Twist::EndsEarly, &[12]),
        (Twist::UnknownIsUnchanged, &[13]),
    ] {
        // What stands on a claim that failed may fail with it; nothing before it does.
        assert_eq!(found(twist).await.0, claims, "{twist:?}");
    }
}

#[tokio::test]
async fn a_vm_that_is_not_there_is_said() {
    let hypervisor = Hypervisor::new(Twist::None);
    let said = judge(&hypervisor, &hypervisor, "nobody", Random::from_seed(7), &mut |_| {}).await.unwrap_err();
    assert_eq!((said.kind, said.message.as_str()), (FaultKind::NotFound, "no VM \"nobody\" is in the inventory"));
}
