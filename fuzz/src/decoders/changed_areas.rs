//! One page of QueryChangedDiskAreas: it begins where it was asked to, its extents are sorted, apart and inside it, and the next page
//! begins where it ends.

use transload_guest::source::Changes;
use vmware_cbt::changes::changed;
use vmware_cbt::tokens::{self, AreasCursor, SnapshotToken};

use crate::Outcome;
use crate::peer::{Peer, answering};

const SIZE: u64 = 10 << 20;
const OFFSET: u64 = 1 << 20;

pub fn feed(bytes: &[u8]) -> Outcome {
    let token = SnapshotToken { vm: "vm-1".into(), uuid: "u".into(), tag: "t".into(), snapshot: "snapshot-9".into() };
    let cursor = tokens::write(&AreasCursor { offset: OFFSET, key: 2000, size: SIZE });
    let peer = Peer::answering(bytes);
    let changes = peer.run(|vcenter| changed(vcenter, &token, "disk", "52 de/80", Some(&cursor)));
    let Ok(Changes::Page(page)) = changes else { return Outcome::Refused };
    assert!(page.covers.offset == OFFSET && page.covers.length > 0 && page.covers.end() <= SIZE, "{:?}", page.covers);
    assert!(page.extents.windows(2).all(|pair| pair[0].end() < pair[1].offset), "{:?}", page.extents);
    let inside = |start: u64, end: u64| start >= page.covers.offset && start < end && end <= page.covers.end();
    assert!(page.extents.iter().all(|extent| inside(extent.offset, extent.end())), "{:?}", page.extents);
    match &page.next {
        Some(next) => {
            let next: AreasCursor = tokens::read(next).expect("a cursor of our own");
            assert_eq!((next.offset, next.size), (page.covers.end(), SIZE));
        }
        None => assert_eq!(page.covers.end(), SIZE),
    }
    Outcome::Read
}

pub fn examples() -> Vec<Vec<u8>> {
    let area = |start: u64, length: u64| format!("<changedArea><start>{start}</start><length>{length}</length></changedArea>");
    let page = |length: u64, areas: &str| {
        let page = format!("<returnval><startOffset>{OFFSET}</startOffset><length>{length}</length>{areas}</returnval>");
        answering("QueryChangedDiskAreas", &page)
    };
    vec![page(2 << 20, &(area(OFFSET + 65536, 65536) + &area(OFFSET, 65536))), page(SIZE - OFFSET, "")]
}
