use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::model::FaultKind;

/// A granted folder `in` with `disk` in it, and beside it a folder `out` with `secret`.
fn place() -> (tempfile::TempDir, Folder) {
    let place = tempfile::tempdir().unwrap();
    let (inside, outside) = (place.path().join("in"), place.path().join("out"));
    std::fs::create_dir_all(inside.join("deep")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(inside.join("disk"), b"0123456789").unwrap();
    std::fs::write(inside.join("deep/er"), b"deeper").unwrap();
    std::fs::write(outside.join("secret"), b"secret").unwrap();
    let folder = Folder::new(inside);
    (place, folder)
}

fn fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn whole(folder: &Folder, path: &str) -> Result<Vec<u8>, Fault> {
    let found = folder.find(path)?;
    let mut bytes = vec![0; found.size as usize];
    folder.read(&found, 0, &mut bytes)?;
    Ok(bytes)
}

fn refusal(folder: &Folder, path: &str) -> (FaultKind, String) {
    let fault = folder.find(path).expect_err(path);
    (fault.kind, fault.message)
}

#[test]
fn what_lies_beneath_is_found_and_read() {
    let (place, folder) = place();
    assert_eq!(whole(&folder, "disk").unwrap(), b"0123456789");
    assert_eq!(whole(&folder, "deep/er").unwrap(), b"deeper");
    // A link that stays inside is as good as what it leads to.
    symlink("deep/er", place.path().join("in/link")).unwrap();
    symlink("../disk", place.path().join("in/deep/up")).unwrap();
    assert_eq!(whole(&folder, "link").unwrap(), b"deeper");
    assert_eq!(whole(&folder, "deep/up").unwrap(), b"0123456789");
    let mut part = [0; 3];
    folder.read(&folder.find("disk").unwrap(), 7, &mut part).unwrap();
    assert_eq!(&part, b"789");
}

#[test]
fn no_path_leads_out() {
    let (place, folder) = place();
    let out = place.path().join("out/secret").display().to_string();
    for path in ["../out/secret", "..", "deep/../../out/secret", "deep/..", "/etc/passwd", "/", out.as_str()] {
        assert_eq!(refusal(&folder, path), (FaultKind::Denied, format!("{path:?} leaves its folder")));
    }
    for path in ["", "disk/", "./disk", "deep//er", "deep/./er", "a\0b", &"x".repeat(256), &"x/".repeat(600)] {
        assert_eq!(refusal(&folder, path).0, FaultKind::Invalid, "{path:?}");
    }
    // Nobody decodes: these are names that are not there.
    for path in ["%2e%2e/out/secret", "..%2fout%2fsecret", "..\\out\\secret", "\u{2025}/out/secret", "~/x"] {
        assert_eq!(refusal(&folder, path).0, FaultKind::NotFound, "{path:?}");
    }
    assert_eq!(refusal(&folder, "disk/x").0, FaultKind::NotFound);
    assert_eq!(refusal(&folder, "deep"), (FaultKind::Invalid, "\"deep\" is a folder".to_owned()));
}

#[test]
fn no_link_leads_out() {
    let (place, folder) = place();
    let inside = place.path().join("in");
    symlink("../out/secret", inside.join("relative")).unwrap();
    symlink(place.path().join("out/secret"), inside.join("absolute")).unwrap();
    symlink("../out", inside.join("folder")).unwrap();
    symlink("relative", inside.join("twice")).unwrap();
    // An absolute link is judged by where it starts, so it leaves even when it would come back.
    symlink(inside.join("disk"), inside.join("back")).unwrap();
    for path in ["relative", "absolute", "folder/secret", "twice", "back"] {
        assert_eq!(refusal(&folder, path), (FaultKind::Denied, format!("{path:?} leaves its folder")));
    }
    symlink("round", inside.join("round")).unwrap();
    assert_eq!(refusal(&folder, "round").0, FaultKind::Denied);
}

/// The links of /proc lead to open files wherever they are, and no walk may follow one.
#[test]
fn a_link_of_the_kernels_own_is_not_followed() {
    let (place, _) = place();
    let secret = File::open(place.path().join("out/secret")).unwrap();
    let folder = Folder::new("/proc/self".into());
    let fault = refusal(&folder, &format!("fd/{}", secret.as_raw_fd()));
    assert_eq!(fault.0, FaultKind::Denied, "{fault:?}");
}

#[test]
fn a_link_swapped_in_during_the_open_leads_nowhere_else() {
    let (place, folder) = place();
    let inside = place.path().join("in");
    std::fs::create_dir(inside.join("real")).unwrap();
    std::fs::write(inside.join("real/secret"), b"harmless").unwrap();
    std::fs::create_dir(inside.join("door")).unwrap();
    std::fs::write(inside.join("door/secret"), b"harmless").unwrap();
    symlink("../out", inside.join("trap")).unwrap();
    let stop = AtomicBool::new(false);
    let (mut read, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        // A folder and a link that leads outside change places without a pause.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (door, trap) = (inside.join("door"), inside.join("trap"));
                rustix::fs::renameat_with(CWD, &door, CWD, &trap, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..20_000 {
            match whole(&folder, "door/secret") {
                Ok(bytes) => {
                    assert_eq!(bytes, b"harmless");
                    read += 1;
                }
                Err(fault) => {
                    assert!(fault.kind == FaultKind::Denied || fault.kind.passes(), "{fault}");
                    refused += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(read > 0 && refused > 0, "nothing was swapped: {read} read, {refused} refused");
}

#[test]
fn pipes_devices_and_sockets_are_not_opened() {
    let (place, folder) = place();
    let inside = place.path().join("in");
    fifo(&inside.join("pipe"));
    let _listening = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        assert_eq!(refusal(&folder, path), (FaultKind::Denied, format!("{path:?} is a pipe, a device or a socket; only files are opened")));
    }
    assert_eq!(refusal(&Folder::new("/dev".into()), "null").0, FaultKind::Denied);
}

#[test]
fn a_file_that_shrinks_or_is_replaced_is_corrupt() {
    let (place, folder) = place();
    let path = place.path().join("in/disk");
    let found = folder.find("disk").unwrap();
    let mut buffer = [0; 10];
    std::fs::write(&path, b"01234").unwrap();
    let fault = folder.read(&found, 0, &mut buffer).unwrap_err();
    assert_eq!(fault, Fault::corrupt("\"disk\" became shorter while it was read: it had 10 bytes"));
    // The same length under the same name is not the same file.
    std::fs::write(place.path().join("in/new"), b"9876543210").unwrap();
    std::fs::rename(place.path().join("in/new"), &path).unwrap();
    let fault = folder.read(&found, 0, &mut buffer).unwrap_err();
    assert_eq!(fault, Fault::corrupt("\"disk\" was replaced by another file while it was read"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(folder.read(&found, 0, &mut buffer).unwrap_err().kind, FaultKind::NotFound);
}

#[test]
fn a_folder_is_listed_in_pages_that_follow_each_other() {
    let (place, folder) = place();
    let many = place.path().join("in/many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..2345 {
        std::fs::write(many.join(format!("file-{number:04}")), []).unwrap();
    }
    let (mut names, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = folder.page("many", cursor.as_deref()).unwrap();
        names.extend(page.entries.into_iter().map(|entry| entry.name));
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (2345, 3));
    assert!(names.is_sorted());
}

#[test]
fn a_listing_tells_files_from_folders_and_leaves_out_what_cannot_be_opened() {
    let (place, folder) = place();
    let inside = place.path().join("in");
    symlink("../out/secret", inside.join("leads-out")).unwrap();
    symlink("nothing", inside.join("leads-nowhere")).unwrap();
    symlink("disk", inside.join("to-the-disk")).unwrap();
    fifo(&inside.join("pipe"));
    std::fs::write(inside.join(std::ffi::OsStr::new("n")), b"x").unwrap();
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"odd-\xff");
    std::fs::write(inside.join(odd), b"x").unwrap();
    let page = folder.page("", None).unwrap();
    let told: Vec<(&str, u64, bool)> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.size, entry.folder)).collect();
    assert_eq!(told, [("deep", 0, true), ("disk", 10, false), ("n", 1, false), ("to-the-disk", 10, false)]);
    assert!(page.next.is_none() && page.entries[1].modified > 1_600_000_000);
    let rest: Vec<String> = folder.page("", Some("disk")).unwrap().entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(rest, ["n", "to-the-disk"]);
}

#[test]
fn a_cursor_and_a_folder_are_judged_like_a_path() {
    let (place, folder) = place();
    for cursor in ["", "..", ".", "../out", "a/b", "a\0", &"x".repeat(256)] {
        assert_eq!(folder.page("", Some(cursor)).unwrap_err().kind, FaultKind::Invalid, "{cursor:?}");
    }
    symlink("../out", place.path().join("in/door")).unwrap();
    for (path, kind) in [
        ("..", FaultKind::Denied),
        ("/", FaultKind::Denied),
        ("deep/../..", FaultKind::Denied),
        ("door", FaultKind::Denied),
        (".", FaultKind::Invalid),
        ("none", FaultKind::NotFound),
        ("disk", FaultKind::NotFound),
    ] {
        assert_eq!(folder.page(path, None).unwrap_err().kind, kind, "{path:?}");
    }
    let gone = Folder::new("/nowhere/at/all".into()).page("", None).unwrap_err();
    assert_eq!(gone.kind, FaultKind::Unavailable);
    assert!(gone.message.starts_with("the granted folder /nowhere/at/all cannot be opened: "), "{gone}");
}
