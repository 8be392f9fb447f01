//! Where everything stands in the store.
//!
//! ```text
//!   store.json                                             format version, store id
//!   keys/<key-id>/<slot>                                   the data key, wrapped
//!   stores/<number>                                        a further store, in which segments may stand
//!   vms/<vm>                                               a VM that replicates into this store
//!   vm/<vm>/owner/<epoch>                                  which agent owns the VM
//!   vm/<vm>/<cycle>.<attempt>/<disk>/planned-<part>        the source's bitmap, before the first read
//!   vm/<vm>/<cycle>.<attempt>/<disk>/seg-<n>-<random>      sealed blocks
//!   vm/<vm>/<cycle>.<attempt>/<disk>/page-<n>              manifest pages
//!   vm/<vm>/initial/<cycle>.<attempt>/<disk>               an initial copy has begun
//!   vm/<vm>/commit/<cycle>                                 one winner
//!   vm/<vm>/receipt/<cycle>.<copy>                         the verdict; a further copy only where an earlier one does not open
//!   vm/<vm>/checkpoint/<cycle>/<disk>/page-<n>, done       a full map
//!   vm/<vm>/dropped/<n>                                    recovery points that are gone, or are going
//!   vm/<vm>/lease/<random>.<n>                             somebody reads a recovery point
//!   vm/<vm>/pin/<cycle>, vm/<vm>/verified/<cycle>          kept on purpose; compared with a replica, and equal
//!   cmd/<n>, reply/<n>                                     commands between roles that meet only here
//!
//!   bound.json                                             in a further store: which one it is, and of which home
//!   vm/<vm>/<cycle>.<attempt>/<disk>/seg-<n>-<random>      and there is nothing else in it
//! ```
//!
//! Numbers have a fixed width, so that the order of keys is the order of time.

use sha2::{Digest as _, Sha256};

use crate::model::{Attempt, CycleNumber, DiskId, Epoch, StoreNumber, VmId};

pub const STORE: &str = "store.json";
/// In a further store, in place of `STORE`.
pub const BOUND: &str = "bound.json";
pub const STORES: &str = "stores/";
pub const VMS: &str = "vms/";
pub const COMMANDS: &str = "cmd/";
pub const REPLIES: &str = "reply/";

pub fn key_slot(key_id: &[u8; 16], slot: &str) -> String {
    format!("keys/{}/{slot}", hex(key_id))
}

pub fn store_entry(store: StoreNumber) -> String {
    format!("{STORES}{store}")
}

/// The further store that an entry of the home store is about. A key of another form is somebody else's.
pub fn store_of(key: &str) -> Option<StoreNumber> {
    let digits = key.strip_prefix(STORES)?;
    let ours = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    u32::from_str_radix(digits, 16).ok().filter(|_| ours).map(StoreNumber).filter(|store| !store.is_home())
}

pub fn vm_entry(vm: &VmId) -> String {
    format!("{VMS}{vm}")
}

pub fn owners(vm: &VmId) -> String {
    format!("vm/{vm}/owner/")
}

pub fn owner(vm: &VmId, epoch: Epoch) -> String {
    format!("{}{:010}", owners(vm), epoch.0)
}

pub fn initials(vm: &VmId) -> String {
    format!("vm/{vm}/initial/")
}

pub fn initial(vm: &VmId, cycle: CycleNumber, attempt: Attempt, disk: &DiskId) -> String {
    format!("{}{:010}.{:04}/{}", initials(vm), cycle.0, attempt.0, name(disk.as_str()))
}

pub fn commits(vm: &VmId) -> String {
    format!("vm/{vm}/commit/")
}

pub fn commit(vm: &VmId, cycle: CycleNumber) -> String {
    format!("{}{:010}", commits(vm), cycle.0)
}

pub fn receipts(vm: &VmId) -> String {
    format!("vm/{vm}/receipt/")
}

pub fn receipt(vm: &VmId, cycle: CycleNumber, copy: u32) -> String {
    format!("{}{:010}.{copy}", receipts(vm), cycle.0)
}

pub fn checkpoints(vm: &VmId) -> String {
    format!("vm/{vm}/checkpoint/")
}

pub fn checkpoint_page(vm: &VmId, cycle: CycleNumber, disk: &DiskId, page: u32) -> String {
    format!("{}{:010}/{}/page-{page:08}", checkpoints(vm), cycle.0, name(disk.as_str()))
}

/// Written last: a checkpoint without it does not exist.
pub fn checkpoint_done(vm: &VmId, cycle: CycleNumber) -> String {
    format!("{}{:010}/done", checkpoints(vm), cycle.0)
}

pub fn dropped_records(vm: &VmId) -> String {
    format!("vm/{vm}/dropped/")
}

pub fn dropped_record(vm: &VmId, number: u64) -> String {
    format!("{}{number:010}", dropped_records(vm))
}

pub fn leases(vm: &VmId) -> String {
    format!("vm/{vm}/lease/")
}

pub fn lease(vm: &VmId, holder: u64, renewal: u32) -> String {
    format!("{}{holder:016x}.{renewal}", leases(vm))
}

pub fn pins(vm: &VmId) -> String {
    format!("vm/{vm}/pin/")
}

pub fn pin(vm: &VmId, cycle: CycleNumber) -> String {
    format!("{}{:010}", pins(vm), cycle.0)
}

pub fn verifications(vm: &VmId) -> String {
    format!("vm/{vm}/verified/")
}

pub fn verification(vm: &VmId, cycle: CycleNumber) -> String {
    format!("{}{:010}", verifications(vm), cycle.0)
}

pub fn command(number: u64) -> String {
    format!("{COMMANDS}{number:010}")
}

pub fn reply(number: u64) -> String {
    format!("{REPLIES}{number:010}")
}

/// The number at the end of a key that one of the functions above made. A key of another form is somebody else's.
pub fn number_of(key: &str) -> Option<u64> {
    let digits = key.rsplit('/').next()?;
    let ours = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| ours)
}

/// The cycle that a key below `folder` is of, when the part behind it begins with one: `<cycle>`, `<cycle>.<copy>`, `<cycle>/…`.
pub fn cycle_below(folder: &str, key: &str) -> Option<CycleNumber> {
    let (digits, rest) = key.strip_prefix(folder)?.split_at_checked(10)?;
    let ours = digits.bytes().all(|byte| byte.is_ascii_digit()) && (rest.is_empty() || rest.starts_with(['.', '/']));
    digits.parse().ok().filter(|_| ours).map(CycleNumber)
}

/// What all attempts at all cycles of a VM begin with. Cycles have ten digits, and no VM has a thousand million of them.
pub fn all_attempts(vm: &VmId) -> String {
    format!("vm/{vm}/0")
}

/// An object in the folder of an attempt, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InAttempt<'a> {
    pub cycle: CycleNumber,
    pub attempt: Attempt,
    /// The disk, as its folder is named.
    pub disk: &'a str,
    pub part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Page(u32),
    Planned,
    Segment { number: u32, random: u64 },
}

/// Reads a key that `AttemptFolder` made. A key of any other form is somebody else's.
pub fn in_attempt<'a>(vm: &VmId, key: &'a str) -> Option<InAttempt<'a>> {
    let mut parts = key.strip_prefix("vm/")?.strip_prefix(vm.as_str())?.strip_prefix('/')?.split('/');
    let (folder, disk, object) = (parts.next()?, parts.next()?, parts.next()?);
    let (cycle, attempt) = folder.split_once('.')?;
    let digits = |text: &str, at_least: usize| text.len() >= at_least && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || cycle.len() != 10 || !digits(cycle, 10) || !digits(attempt, 4) {
        return None;
    }
    let part = match object.split_once('-')? {
        ("page", number) if digits(number, 8) => Part::Page(number.parse().ok()?),
        ("planned", part) if digits(part, 4) => Part::Planned,
        ("seg", rest) => {
            let (number, random) = rest.split_once('-')?;
            if !digits(number, 8) || random.len() != 16 {
                return None;
            }
            Part::Segment { number: number.parse().ok()?, random: u64::from_str_radix(random, 16).ok()? }
        }
        _ => return None,
    };
    Some(InAttempt { cycle: CycleNumber(cycle.parse().ok()?), attempt: Attempt(attempt.parse().ok()?), disk, part })
}

/// Everything of all attempts at a cycle.
pub fn attempts(vm: &VmId, cycle: CycleNumber) -> String {
    format!("vm/{vm}/{:010}.", cycle.0)
}

/// One disk's folder in one attempt at a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFolder {
    prefix: String,
}

impl AttemptFolder {
    pub fn new(vm: &VmId, cycle: CycleNumber, attempt: Attempt, disk: &DiskId) -> AttemptFolder {
        AttemptFolder { prefix: format!("vm/{vm}/{:010}.{:04}/{}/", cycle.0, attempt.0, name(disk.as_str())) }
    }

    pub fn planned(&self, part: u32) -> String {
        format!("{}planned-{part:04}", self.prefix)
    }

    pub fn page(&self, number: u32) -> String {
        format!("{}page-{number:08}", self.prefix)
    }

    pub fn segment(&self, number: u32, random: u64) -> String {
        format!("{}seg-{number:08}-{random:016x}", self.prefix)
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// A name of somebody else's making as one part of a key: harmless characters stay, others become '-', and then a short digest of the
/// original keeps two names apart.
pub fn name(original: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !original.is_empty() && original.len() <= 64 && original.chars().all(harmless) {
        return original.to_owned();
    }
    let kept: String = original.chars().take(40).map(|c| if harmless(c) { c } else { '-' }).collect();
    format!("{kept}-{}", hex(&Sha256::digest(original.as_bytes())[..6]))
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_stay_apart_and_harmless() {
        assert_eq!(name("scsi0-0"), "scsi0-0");
        let (one, two) = (name("6000C29 a/b"), name("6000C29 a\\b"));
        assert_ne!(one, two);
        for key in [&one, &two, &name(""), &name(&"x".repeat(300)), &name("../..")] {
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{key}");
            assert!(!key.is_empty() && key.len() <= 64);
        }
    }

    #[test]
    fn keys_of_attempts_are_read_as_they_were_made_and_no_others() {
        let vm = VmId::from("v");
        let folder = AttemptFolder::new(&vm, CycleNumber(7), Attempt(101), &"scsi0-0".into());
        let read = |key: &str| in_attempt(&vm, key).map(|found| (found.cycle.0, found.attempt.0, found.disk.to_owned(), found.part));
        let of_disk = |part| Some((7, 101, "scsi0-0".to_owned(), part));
        assert_eq!(read(&folder.page(3)), of_disk(Part::Page(3)));
        assert_eq!(read(&folder.planned(0)), of_disk(Part::Planned));
        assert_eq!(read(&folder.segment(9, u64::MAX)), of_disk(Part::Segment { number: 9, random: u64::MAX }));
        assert!(folder.page(3).starts_with(&all_attempts(&vm)));
        for foreign in [
            "vm/v/commit/0000000007",
            "vm/w/0000000007.0101/scsi0-0/page-00000003",
            "vm/v/0000000007.0101/scsi0-0/page-3",
            "vm/v/0000000007.0101/scsi0-0/page-00000003/more",
            "vm/v/0000000007.0101/scsi0-0/seg-00000003",
            "vm/v/0000000007.0101/scsi0-0/notes.txt",
            "vm/v/7.0101/scsi0-0/page-00000003",
        ] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_cycle_is_read_off_a_key_below_its_folder() {
        let vm = VmId::from("v");
        assert_eq!(cycle_below(&receipts(&vm), &receipt(&vm, CycleNumber(7), 2)), Some(CycleNumber(7)));
        assert_eq!(cycle_below(&checkpoints(&vm), &checkpoint_done(&vm, CycleNumber(7))), Some(CycleNumber(7)));
        assert_eq!(cycle_below(&pins(&vm), &pin(&vm, CycleNumber(7))), Some(CycleNumber(7)));
        for foreign in ["vm/v/receipt/7.0", "vm/v/receipt/00000000071.0", "vm/v/receipt/x", "vm/w/receipt/0000000007.0"] {
            assert_eq!(cycle_below(&receipts(&vm), foreign), None, "{foreign}");
        }
    }

    #[test]
    fn keys_sort_as_time_runs() {
        let vm = VmId::from("v");
        assert!(commit(&vm, CycleNumber(9)) < commit(&vm, CycleNumber(10)));
        assert_eq!(number_of(&commit(&vm, CycleNumber(10))), Some(10));
        for foreign in
            ["vm/v/commit/7", "vm/v/commit/+000000007", "vm/v/commit/18446744073709551615", "vm/v/commit/", "vm/v/commit/000000000x"]
        {
            assert_eq!(number_of(foreign), None, "{foreign}");
        }
    }
}
