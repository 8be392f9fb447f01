//! Files of folders that are not granted, by whatever way: a path, a link, a link that was a folder a moment ago.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use transload::model::{DiskId, Extent, FaultKind, SnapshotToken};
use transload::pipeline::source::{ByteSource, Source};
use transload::wasm::PluginSource;

use super::super::server::disk;
use super::super::setup::World;
use super::super::source::vm;
use super::{Works, definition, ends, learnt, refused, said};

/// A granted folder with a disk in it, and beside it what nobody granted.
async fn world() -> World {
    let world = World::start().await;
    let exports = world.exports();
    std::fs::create_dir(exports.join("deep")).unwrap();
    std::fs::create_dir(world.folder.path().join("out")).unwrap();
    std::fs::write(world.folder.path().join("out/harmless"), b"secret").unwrap();
    std::fs::write(exports.join("harmless"), b"harmless").unwrap();
    std::fs::write(exports.join("disk"), disk()).unwrap();
    world
}

async fn range(source: &PluginSource, disk: &str, offset: u64, length: u64) -> Box<dyn ByteSource> {
    source.open_range(&SnapshotToken::from("snap"), &DiskId::from(disk), Extent::new(offset, length)).await.unwrap()
}

#[tokio::test]
async fn a_granted_file_is_read_by_the_guest_and_its_ranges_by_the_host() {
    let world = world().await;
    let source = world.source().await;
    assert_eq!(learnt(&source, "file read harmless").await, "harmless");
    assert_eq!(learnt(&source, "file names ").await, "deep,disk,harmless ");
    let mut buffer = vec![0; 300_000];
    range(&source, "file disk", 4096, 400_000).await.fetch(100_000, &mut buffer).await.unwrap();
    assert_eq!(buffer, disk()[104_096..404_096]);
    let mut both = vec![0; 2000];
    range(&source, "half-a-file", 512, 2000).await.fetch(0, &mut both).await.unwrap();
    assert_eq!(both, [&disk()[512..1512], &disk()[512..1512]].concat());
}

#[tokio::test]
async fn a_path_that_leaves_the_granted_folder_is_denied_however_it_is_written() {
    let world = world().await;
    let source = world.source().await;
    let absolute = world.folder.path().join("out/harmless").display().to_string();
    for path in ["../out/harmless", "deep/../../out/harmless", "deep/..", "..", "/etc/passwd", "//etc/passwd", absolute.as_str()] {
        let fault = definition(&source, &format!("file read {path}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("{path:?} leaves its folder")));
        let fault = definition(&source, &format!("file names {path}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("{path:?} leaves its folder")));
    }
    // Nobody decodes them: names that are not there.
    for path in ["%2e%2e/out/harmless", "..%2fout%2fharmless", "..\\out\\harmless", "deep/%2e%2e/harmless"] {
        let fault = definition(&source, &format!("file read {path}")).await;
        assert_eq!(fault, said(FaultKind::NotFound, &format!("there is no {path:?} in the granted folder")));
    }
    for path in ["./harmless", "deep//x", "harmless\0", ""] {
        let fault = definition(&source, &format!("file read {path}")).await;
        assert_eq!(fault, said(FaultKind::Invalid, &format!("{path:?} is no relative path of plain names, at most 1024 bytes")));
    }
    for cursor in ["..", "a/b", ""] {
        let fault = definition(&source, &format!("file names >{cursor}")).await;
        assert_eq!(fault, said(FaultKind::Invalid, &format!("{cursor:?} is no cursor of a folder")));
    }
}

#[tokio::test]
async fn a_link_that_leaves_the_granted_folder_is_denied() {
    let world = world().await;
    let (source, exports) = (world.source().await, world.exports());
    symlink("../out/harmless", exports.join("relative")).unwrap();
    symlink(world.folder.path().join("out/harmless"), exports.join("absolute")).unwrap();
    symlink("../out", exports.join("door")).unwrap();
    symlink("/proc/self/root/etc/passwd", exports.join("root")).unwrap();
    for path in ["relative", "absolute", "door/harmless", "root"] {
        let fault = definition(&source, &format!("file read {path}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("{path:?} leaves its folder")));
    }
    assert_eq!(definition(&source, "file names door").await, said(FaultKind::Denied, "\"door\" leaves its folder"));
    assert_eq!(learnt(&source, "file names ").await, "deep,disk,harmless ");
}

#[tokio::test]
async fn a_link_that_is_swapped_in_while_a_guest_opens_leads_nowhere_else() {
    let world = world().await;
    let (source, exports) = (world.source().await, world.exports());
    std::fs::create_dir(exports.join("place")).unwrap();
    std::fs::write(exports.join("place/harmless"), b"harmless").unwrap();
    symlink("../out", exports.join("door")).unwrap();
    let (place, door, stop) = (exports.join("place"), exports.join("door"), Arc::new(AtomicBool::new(false)));
    let exchange = move || {
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, &place, cwd, &door, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    };
    let (mut read, mut denied) = (0, 0);
    let swapping = stop.clone();
    let swapper = tokio::task::spawn_blocking(move || {
        while !swapping.load(Ordering::Relaxed) {
            exchange();
        }
    });
    while (read == 0 || denied == 0 || read + denied < 2000) && read + denied < 100_000 {
        match ends(source.definition(&vm("file read place/harmless"))).await {
            Ok(answer) => {
                assert_eq!(answer.name, "harmless");
                read += 1;
            }
            Err(fault) => {
                assert!(fault.kind == FaultKind::Denied || fault.kind.passes(), "{fault}");
                denied += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.await.unwrap();
    assert!(read > 0 && denied > 0, "nothing was swapped: {read} read, {denied} denied");
    ends(source.works()).await;
}

#[tokio::test]
async fn what_is_neither_file_nor_folder_is_not_opened() {
    let world = world().await;
    let (source, exports) = (world.source().await, world.exports());
    assert!(Command::new("mkfifo").arg(exports.join("pipe")).status().unwrap().success());
    let _listening = std::os::unix::net::UnixListener::bind(exports.join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        let fault = definition(&source, &format!("file read {path}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("{path:?} is a pipe, a device or a socket; only files are opened")));
    }
    assert_eq!(definition(&source, "file read deep").await, said(FaultKind::Invalid, "\"deep\" is a folder"));
    assert_eq!(learnt(&source, "file names ").await, "deep,disk,harmless ");
}

#[tokio::test]
async fn a_folder_that_is_not_granted_is_denied() {
    let world = world().await;
    let source = world.source().await;
    for (misdeed, name) in [("of other", "other"), ("of ", ""), ("names-of /etc", "/etc"), ("of ../exports", "../exports")] {
        let fault = definition(&source, &format!("file {misdeed}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("no folder {name:?} is granted to this plugin")));
    }
}

#[tokio::test]
async fn a_guest_reads_no_more_of_a_file_than_its_budget() {
    let world = world().await;
    let source = world.source().await;
    let used_up = "the plugin's peek budget of 102400 bytes a call is used up";
    assert_eq!(learnt(&source, "file budget 10000").await, format!("100000 {used_up}"));
    assert_eq!(source.bytes_peeked(), 100_000);
    assert_eq!(learnt(&source, "file budget 200000").await, format!("0 {used_up}"));
    assert_eq!(learnt(&source, "file budget 1048577").await, "0 a read takes at most 1048576 bytes; 1048577 were asked for");
    let size = disk().len();
    let past = |offset, length| format!("{offset}+{length} reaches past the end of {size} bytes");
    assert_eq!(learnt(&source, "file past").await, [past(size as u64, 1), past(u64::MAX, 2), past(1, size), past(u64::MAX, 2)].join("; "));
}

#[tokio::test]
async fn file_handles_are_counted_and_end_with_their_call() {
    let world = world().await;
    let source = world.source().await;
    assert_eq!(learnt(&source, "file hoard").await, "4096 a plugin may hold at most 4096 handles at a time");
    for _ in 0..3 {
        assert_eq!(learnt(&source, "file keep").await, "kept");
    }
    // What the instance kept went with it: the next one holds as many as ever.
    assert_eq!(learnt(&source, "file hoard").await, "4096 a plugin may hold at most 4096 handles at a time");
}

#[tokio::test]
async fn a_file_that_shrinks_or_is_replaced_after_it_was_named_is_corrupt() {
    let world = world().await;
    let (source, path) = (world.source().await, world.exports().join("disk"));
    let named = range(&source, "file disk", 0, disk().len() as u64).await;
    let mut buffer = vec![0; disk().len()];
    named.fetch(0, &mut buffer).await.unwrap();
    assert_eq!(buffer, disk());
    let again = refused(&source, async |_| {
        std::fs::write(&path, &disk()[..1000]).unwrap();
        named.fetch(0, &mut vec![0; 4096]).await
    });
    assert_eq!(again.await, said(FaultKind::Corrupt, "\"disk\" became shorter while it was read: it had 1048576 bytes"));
    let replacing = refused(&source, async |_| {
        std::fs::write(world.exports().join("new"), disk()).unwrap();
        std::fs::rename(world.exports().join("new"), &path).unwrap();
        named.fetch(0, &mut vec![0; 4096]).await
    });
    assert_eq!(replacing.await, said(FaultKind::Corrupt, "\"disk\" was replaced by another file while it was read"));
}
