use super::*;

fn page(covers: (u64, u64), extents: &[(u64, u64)], cursor_out: Option<&str>) -> guest::Changes {
    let extent = |&(offset, length): &(u64, u64)| types::Extent { offset, length };
    guest::Changes::Page(guest::ChangedPage {
        covers: extent(&covers),
        extents: extents.iter().map(extent).collect(),
        next: cursor_out.map(str::to_owned),
    })
}

fn corrupt<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    let fault = result.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Corrupt);
    fault.message
}

#[test]
fn a_page_of_changes_must_be_about_what_it_covers() {
    assert!(changes(page((0, 4096), &[(0, 512), (512, 512), (4095, 1)], Some("a")), None).is_ok());
    assert!(changes(page((4096, 512), &[], None), Some("a")).is_ok());
    for (wrong, cursor) in [
        (page((0, 4096), &[(4096, 1)], None), None),
        (page((0, 4096), &[(512, 512), (0, 512)], None), None),
        (page((0, 4096), &[(0, 513), (512, 512)], None), None),
        (page((0, 4096), &[(0, 0)], None), None),
        (page((0, 0), &[], None), None),
        (page((0, DiskSize::MAX + 1), &[], None), None),
        (page((512, u64::MAX), &[], None), Some("a")),
        (page((512, 512), &[], None), None),
        (page((0, 512), &[], None), Some("a")),
        (page((512, 512), &[], Some("a")), Some("a")),
        (page((0, 512), &[], Some("")), None),
    ] {
        corrupt(changes(wrong, cursor));
    }
}

#[test]
fn an_outcome_must_fit_its_call() {
    let opened = |ended| match ended {
        Ended::Opened(opened) => Some(opened),
        _ => None,
    };
    let pending = types::Pending { operation: "task-1".to_owned(), poll_after_ms: 0 };
    assert_eq!(
        outcome(guest::Outcome::Pending(pending), "open-snapshot", opened),
        Ok(Outcome::Pending { operation: "task-1".to_owned(), poll_after: Duration::from_millis(100) })
    );
    assert_eq!(
        corrupt(outcome(guest::Outcome::Done, "open-snapshot", opened)),
        "the plugin answered open-snapshot with an outcome that belongs to another call"
    );
}

#[test]
fn disks_must_be_disks_and_told_apart() {
    let disk = |id: &str, size| guest::SnapshotDisk {
        id: id.to_owned(),
        label: String::new(),
        fingerprint: "f".to_owned(),
        size,
        marker: None,
        readable: guest::ReadablePart::WholeDisk,
    };
    assert!(snapshot_disks(vec![disk("a", 512), disk("b", 1024)]).is_ok());
    assert_eq!(corrupt(snapshot_disks(vec![disk("a", 512), disk("a", 512)])), "the plugin gave disk a twice");
    assert_eq!(corrupt(snapshot_disks(vec![disk("", 512)])), "the plugin gave an empty disk id");
    assert!(corrupt(snapshot_disks(vec![disk("a", 513)])).starts_with("disk a: a disk of 513 bytes is not supported"));
    let changes_only = guest::SnapshotDisk { readable: guest::ReadablePart::ChangesOnly, ..disk("a", 512) };
    assert_eq!(snapshot_disks(vec![changes_only]).unwrap_err().kind, FaultKind::Unsupported);
}

#[test]
fn entries_ascend_below_their_prefix() {
    let listed = |keys: &[&str]| store::EntriesPage {
        entries: keys.iter().map(|key| store::Entry { key: key.to_string(), size: 1 }).collect(),
        next: None,
    };
    assert!(entries_page(listed(&["vm/a", "vm/b"]), "vm/", None).is_ok());
    assert_eq!(corrupt(entries_page(listed(&["vm/b", "vm/a"]), "vm/", None)), "the plugin listed \"vm/b\" before \"vm/a\"");
    assert_eq!(corrupt(entries_page(listed(&["vm/a", "vm/a"]), "vm/", None)), "the plugin listed \"vm/a\" before \"vm/a\"");
    assert_eq!(corrupt(entries_page(listed(&["key/a"]), "vm/", None)), "the plugin listed \"key/a\" below \"vm/\"");
}

#[test]
fn lists_and_texts_are_bounded() {
    assert!(corrupt(tokens(vec!["t".to_owned(); LIST_ITEMS_MAX + 1])).contains("at most 65536 are allowed"));
    assert!(corrupt(tokens(vec!["t".repeat(TEXT_BYTES_MAX + 1)])).contains("at most 65536 are allowed"));
}

#[test]
fn keys_are_plain_and_never_climb() {
    for good in ["store.json", "vm/db01/3.1/disk/seg-1-ab_c"] {
        assert!(check_key(good).is_ok(), "{good}");
    }
    for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "ä", &"x".repeat(513)] {
        assert!(check_key(bad).is_err(), "{bad}");
    }
}
