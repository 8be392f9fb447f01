use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::*;
use crate::wasm::manifest::Kind;

const MANIFEST: &str = r#"
name = "echo"
kind = "sink"
version = "0.1.0"
wit = "0.1.0"
component = "echo.wasm"
sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
"#;

struct Here {
    place: tempfile::TempDir,
}

impl Here {
    fn new() -> Here {
        let here = Here { place: tempfile::tempdir().unwrap() };
        std::fs::create_dir(here.folder()).unwrap();
        here.write("manifest.toml", MANIFEST);
        here.write("echo.wasm", "hello");
        here
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("echo")
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder().join(name), content).unwrap();
    }

    /// What reading it says, without the place of this test.
    fn refused(&self) -> String {
        let said = Package::read(&self.folder()).err().expect("it is refused");
        assert_eq!(said.len(), 1, "{said:?}");
        said[0].replace(&self.place.path().display().to_string(), "…")
    }

    /// An archive instead of the folder.
    fn archive(&self, entries: &[(&str, &str)]) -> Builder<File> {
        std::fs::remove_dir_all(self.folder()).unwrap();
        let mut archive = Builder::new(File::create(Package::archive(&self.folder())).unwrap());
        entries.iter().for_each(|(path, content)| append(&mut archive, path, content));
        archive
    }
}

fn append(archive: &mut Builder<File>, path: &str, content: &str) {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content.as_bytes()).unwrap();
}

#[test]
fn the_component_must_be_the_one_the_manifest_names() {
    let here = Here::new();
    assert_eq!(Package::read(&here.folder()).unwrap().manifest.kind, Kind::Sink);
    here.write("echo.wasm", "evil");
    let said = here.refused();
    assert!(said.starts_with("…/echo/echo.wasm is not the component that the manifest was written for: its SHA-256 is "), "{said}");
    here.write("manifest.toml", &MANIFEST.replace("kind", "sort"));
    let said = Package::read(&here.folder()).err().unwrap();
    assert!(said.iter().any(|why| why.contains("manifest.toml: unknown key \"sort\"")), "{said:?}");
}

#[test]
fn files_that_are_longer_than_any_are_not_read_to_their_end() {
    let here = Here::new();
    here.write("manifest.toml", &"# much\n".repeat(50_000));
    assert_eq!(here.refused(), "…/echo/manifest.toml is longer than 262144 bytes, and no such file of a plugin is");
    let here = Here::new();
    here.write("manifest.toml.minisig", &"untrusted ".repeat(500));
    assert_eq!(here.refused(), "…/echo/manifest.toml.minisig is longer than 4096 bytes, and no such file of a plugin is");
}

#[test]
fn a_link_is_not_followed_and_a_pipe_is_not_waited_for() {
    let here = Here::new();
    let secret = here.place.path().join("secret");
    std::fs::write(&secret, "root:x:0:0").unwrap();
    std::fs::remove_file(here.folder().join("manifest.toml")).unwrap();
    std::os::unix::fs::symlink(&secret, here.folder().join("manifest.toml")).unwrap();
    assert_eq!(here.refused(), "…/echo/manifest.toml cannot be read: it is a link, and links are not followed here");
    let here = Here::new();
    let component = here.folder().join("echo.wasm");
    std::fs::remove_file(&component).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &component, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(here.refused(), "…/echo/echo.wasm cannot be read: it is no plain file");
    std::fs::remove_file(component).unwrap();
    assert_eq!(here.refused(), "…/echo/echo.wasm cannot be read: it is not there");
}

#[test]
fn an_archive_is_as_good_as_a_folder() {
    for prefix in ["", "./", "echo/", "./echo/"] {
        let here = Here::new();
        let (manifest, component) = (format!("{prefix}manifest.toml"), format!("{prefix}echo.wasm"));
        here.archive(&[(&manifest, MANIFEST), ("README", "much"), (&component, "hello")]).finish().unwrap();
        let package = Package::read(&here.folder()).unwrap();
        assert_eq!((package.component.as_slice(), package.signature), (&b"hello"[..], None), "{prefix}");
    }
}

#[test]
fn an_archive_that_can_be_read_in_two_ways_is_refused() {
    let here = Here::new();
    here.archive(&[("manifest.toml", MANIFEST), ("echo.wasm", "hello"), ("a/echo.wasm", "evil")]).finish().unwrap();
    assert_eq!(here.refused(), "echo.wasm in …/echo.tar cannot be read: the archive holds it twice");
    std::fs::create_dir(here.folder()).unwrap();
    assert_eq!(here.refused(), "there are …/echo and …/echo.tar: remove the one that is not meant");
}

#[test]
fn an_archive_with_links_deep_files_or_half_of_them_is_refused() {
    let here = Here::new();
    let mut archive = here.archive(&[("manifest.toml", MANIFEST)]);
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "echo.wasm", Path::new("/etc/passwd")).unwrap();
    archive.finish().unwrap();
    assert_eq!(here.refused(), "echo.wasm in …/echo.tar cannot be read: it is no plain file");
    let here = Here::new();
    here.archive(&[("manifest.toml", MANIFEST), ("a/b/echo.wasm", "hello")]).finish().unwrap();
    assert_eq!(here.refused(), "echo.wasm in …/echo.tar cannot be read: it is not there");
    let half = std::fs::read(Package::archive(&here.folder())).unwrap();
    std::fs::write(Package::archive(&here.folder()), &half[..700]).unwrap();
    assert!(here.refused().starts_with("manifest.toml in …/echo.tar cannot be read: "), "{}", here.refused());
    std::fs::write(Package::archive(&here.folder()), "no archive").unwrap();
    assert!(here.refused().contains("manifest.toml in …/echo.tar"), "{}", here.refused());
}
