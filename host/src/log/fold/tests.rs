use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::log::page::{BlockEntry, Encoding, SegmentName};
use crate::log::seal::DataKey;
use crate::model::commit::Mode;
use crate::model::{Attempt, BLOCK, Extent, FaultKind, StoreNumber};
use crate::random::Random;

use super::*;

/// Pages written by hand, and nothing else.
#[derive(Clone)]
struct Pages {
    sealer: Arc<Sealer>,
    random: Random,
    objects: BTreeMap<String, Bytes>,
}

#[async_trait]
impl Objects for Pages {
    async fn get(&self, _store: StoreNumber, key: &str, _range: Option<Extent>) -> Result<Bytes, Fault> {
        self.objects.get(key).cloned().ok_or_else(|| Fault::not_found(format!("there is no {key}")))
    }
}

fn vm() -> VmId {
    "v".into()
}

fn size() -> DiskSize {
    DiskSize::new(4 * BLOCK).unwrap()
}

fn digest(number: u8) -> Digest {
    Digest([number; 16])
}

impl Pages {
    fn new() -> Pages {
        let random = Random::from_seed(1);
        let sealer = Arc::new(Sealer::new(&DataKey::random(&mut random.fork()), [1; 16], [2; 16]));
        Pages { sealer, random, objects: BTreeMap::new() }
    }

    fn put(&mut self, role: Role, key: String, page: &ManifestPage) -> Sha {
        let plain = page::encode(page);
        let sealed = self.sealer.seal_object(role, &key, &plain, &mut self.random.fork());
        self.objects.insert(key, sealed.whole());
        Sha(Sha256::digest(Sha::of(&plain).0).into())
    }

    /// One page that reaches `to_block`.
    fn layer(&mut self, cycle: u64, attempt: u32, to_block: u64, entries: Vec<Entry>) -> Layer {
        let (cycle, attempt) = (CycleNumber(cycle), Attempt(attempt));
        let key = AttemptFolder::new(&vm(), cycle, attempt, &"d".into()).page(0);
        let pages_digest = self.put(Role::Page, key, &ManifestPage { from_block: 0, to_block, entries });
        Layer { cycle, attempt, to_block, pages: 1, pages_digest, planned_parts: 1, planned_digest: Sha::of(b"") }
    }

    fn fold(self, commits: &[(u64, Vec<Layer>)]) -> Fold {
        let sealer = self.sealer.clone();
        let mut fold = Fold::new(Arc::new(self), sealer, size());
        for (cycle, layers) in commits {
            fold.add_commit(&vm(), CycleNumber(*cycle), &disk_commit(layers.clone()));
        }
        fold
    }
}

fn disk_commit(layers: Vec<Layer>) -> DiskCommit {
    let (label, fingerprint) = (String::new(), String::new());
    DiskCommit { disk: "d".into(), label, fingerprint, size: size(), mode: Mode::Delta, layers, marker: None }
}

fn body(cycle: u64, cells: u16) -> Body {
    let segment = SegmentName { cycle: CycleNumber(cycle), attempt: Attempt(1), number: 0, random: 0, store: StoreNumber::HOME };
    Body { segment, offset: 0, length: 100, encoding: Encoding::Raw, cells: CellMask(cells) }
}

/// Data cells carry `number` as their digest, same cells `number + 100`.
fn block(block: u64, number: u8, data: u16, zero: u16, same: u16) -> Entry {
    let digests = CellMask(data | same).cells().map(|cell| digest(if CellMask(data).contains(cell) { number } else { number + 100 }));
    let digests = digests.collect();
    let body = (data != 0).then(|| body(number.into(), data));
    Entry::Block(BlockEntry { block, data: CellMask(data), zero: CellMask(zero), same: CellMask(same), body, digests })
}

async fn all(mut fold: Fold) -> Result<Vec<FoldedBlock>, Fault> {
    let mut blocks = Vec::new();
    while let Some(block) = fold.next().await? {
        blocks.push(block);
    }
    Ok(blocks)
}

#[tokio::test]
async fn within_a_cycle_the_later_attempt_wins_also_when_it_only_says_same() {
    let mut pages = Pages::new();
    let first = pages.layer(7, 1, 4, vec![block(1, 1, 0b111, 0, 0)]);
    let second = pages.layer(7, 2, 4, vec![block(1, 2, 0b010, 0, 0b100)]);
    let folded = all(pages.fold(&[(7, vec![first, second])])).await.unwrap();
    assert_eq!(folded.len(), 1);
    assert_eq!((folded[0].data(), folded[0].same, folded[0].zero), (CellMask(0b011), CellMask(0b100), CellMask::NONE));
    assert_eq!(folded[0].digests[..3], [digest(1), digest(2), digest(102)]);
    assert_eq!(folded[0].pieces.iter().map(|piece| piece.wanted.0).collect::<Vec<_>>(), [0b010, 0b001]);
}

#[tokio::test]
async fn between_cycles_same_means_look_further_down() {
    let mut pages = Pages::new();
    let older = pages.layer(6, 1, 4, vec![block(1, 1, 0b1111, 0b1_0000, 0), Entry::Zeros { block: 2, count: 2 }]);
    let newer = pages.layer(7, 1, 4, vec![block(1, 2, 0b0001, 0b0010, 0b1_0100), Entry::SameZeros { block: 3, count: 1 }]);
    let folded = all(pages.fold(&[(7, vec![newer]), (6, vec![older])])).await.unwrap();
    assert_eq!(folded.iter().map(|block| block.block).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((folded[0].data(), folded[0].zero, folded[0].same), (CellMask(0b1101), CellMask(0b1_0010), CellMask::NONE));
    assert_eq!(folded[0].digests[..5], [digest(2), Digest::ZERO_CELL, digest(1), digest(1), Digest::ZERO_CELL]);
    assert!(folded[1..].iter().all(|block| block.zero == CellMask(0xffff) && block.same.is_empty()));
}

#[tokio::test]
async fn a_checkpoint_below_ends_the_search() {
    let mut pages = Pages::new();
    let newer = pages.layer(7, 1, 4, vec![block(1, 2, 0b1, 0, 0b10)]);
    let page = ManifestPage {
        from_block: 0,
        to_block: 4,
        entries: vec![Entry::Zeros { block: 0, count: 1 }, block(1, 1, 0xffff, 0, 0), Entry::Zeros { block: 2, count: 2 }],
    };
    let digest_of_pages = pages.put(Role::Checkpoint, layout::checkpoint_page(&vm(), CycleNumber(6), &"d".into(), 0), &page);
    let mut fold = pages.fold(&[(7, vec![newer])]);
    fold.add_checkpoint(&vm(), CycleNumber(6), &"d".into(), size(), 1, digest_of_pages);
    let folded = all(fold).await.unwrap();
    assert_eq!(folded.len(), 4);
    assert!(folded.iter().all(|block| block.cells() == CellMask(0xffff) && block.same.is_empty()));
    assert_eq!(folded[1].digests[..2], [digest(2), digest(1)]);
}

#[tokio::test]
async fn an_attempt_that_was_cut_short_is_silent_behind_its_end() {
    let mut pages = Pages::new();
    let first = pages.layer(7, 1, 2, vec![block(0, 1, 0b1, 0, 0)]);
    let second = pages.layer(7, 2, 4, vec![block(3, 2, 0b1, 0, 0)]);
    let folded = all(pages.fold(&[(7, vec![first, second])])).await.unwrap();
    assert_eq!(folded.iter().map(|block| block.block).collect::<Vec<_>>(), [0, 3]);
}

#[tokio::test]
async fn pages_that_are_missing_or_not_the_named_ones_are_corrupt() {
    let entries = || vec![block(1, 1, 0b1, 0, 0)];
    type Spoil = fn(&mut Layer, &mut Pages);
    let spoils: [(&str, Spoil); 4] = [
        ("more pages are named", |layer, _| layer.pages = 2),
        ("other pages are named", |layer, _| layer.pages_digest = Sha::of(b"others")),
        ("the pages end too early", |layer, _| layer.to_block = 3),
        ("the page is gone", |_, pages| pages.objects.clear()),
    ];
    for (what, spoil) in spoils {
        let mut pages = Pages::new();
        let mut layer = pages.layer(7, 1, 4, entries());
        spoil(&mut layer, &mut pages);
        let fault = all(pages.fold(&[(7, vec![layer])])).await.unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound), "{what}: {fault}");
    }
}

const MANY: u64 = 40;

/// A layer of several pages: where each ends, and which of its blocks it speaks of.
fn layer_of_pages(pages: &mut Pages, cycle: u64, ends: &[u64], blocks: &[u64]) -> Layer {
    let (cycle_number, attempt) = (CycleNumber(cycle), Attempt(1));
    let folder = AttemptFolder::new(&vm(), cycle_number, attempt, &"d".into());
    let (mut from, mut digests) = (0, Sha256::new());
    for (number, end) in ends.iter().enumerate() {
        let entries = blocks.iter().filter(|of| (from..*end).contains(*of)).map(|of| block(*of, cycle as u8, 1 << cycle, 0, 0)).collect();
        let page = ManifestPage { from_block: from, to_block: *end, entries };
        pages.put(Role::Page, folder.page(number as u32), &page);
        digests.update(Sha::of(&page::encode(&page)).0);
        from = *end;
    }
    let pages_digest = Sha(digests.finalize().into());
    let planned_digest = Sha::of(b"");
    Layer { cycle: cycle_number, attempt, to_block: from, pages: ends.len() as u32, pages_digest, planned_parts: 1, planned_digest }
}

proptest::proptest! {
    /// Against a walk that looks at every block: nothing is passed over, and no page stays unread.
    #[test]
    fn what_no_layer_speaks_of_is_passed_over_and_nothing_else(
        layers in proptest::collection::vec(
            (proptest::collection::btree_set(1..MANY, 0..6), proptest::collection::btree_set(0..MANY, 0..8)), 1..4),
        lost in proptest::option::of(0usize..100),
    ) {
        let mut pages = Pages::new();
        let commits: Vec<(u64, Vec<Layer>)> = (1..).zip(&layers).map(|(cycle, (ends, blocks))| {
            let ends: Vec<u64> = ends.iter().copied().chain([MANY]).collect();
            let blocks: Vec<u64> = blocks.iter().copied().collect();
            (cycle, vec![layer_of_pages(&mut pages, cycle, &ends, &blocks)])
        }).collect();
        if let Some(lost) = lost {
            let key = pages.objects.keys().nth(lost % pages.objects.len()).cloned().unwrap();
            pages.objects.remove(&key);
        }
        let folded = |pages: &Pages| {
            let mut fold = Fold::new(Arc::new(pages.clone()), pages.sealer.clone(), DiskSize::new(MANY * BLOCK).unwrap());
            for (cycle, layers) in &commits {
                fold.add_commit(&vm(), CycleNumber(*cycle), &DiskCommit { size: DiskSize::new(MANY * BLOCK).unwrap(), ..disk_commit(layers.clone()) });
            }
            fold
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let skipping = runtime.block_on(all(folded(&pages)));
        let walked = runtime.block_on(async {
            let (mut fold, mut blocks) = (folded(&pages), Vec::new());
            for block in 0..MANY {
                let folded = fold.fold(block).await?;
                blocks.extend((!folded.is_empty()).then_some(folded));
            }
            Ok::<_, Fault>(blocks)
        });
        match lost {
            Some(_) => proptest::prop_assert!(skipping.is_err() && walked.is_err(), "a page is missing"),
            None => proptest::prop_assert_eq!(skipping.unwrap(), walked.unwrap()),
        }
    }
}
