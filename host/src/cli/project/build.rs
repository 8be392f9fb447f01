//! `transload plugin build`: the ordinary tool makes the component, and what an operator installs is put together and looked at.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Language, Refused};
use crate::cli::plugin::checked;
use crate::log::layout::hex;
use crate::wasm::{CodeCache, Kind, Manifest, Package, misfits};

const MANIFEST: &str = "manifest.toml";

/// What an operator would install.
#[derive(Serialize)]
struct Built {
    folder: PathBuf,
    component: PathBuf,
    bytes: usize,
    sha256: String,
    /// What keeps this host from running it.
    misfits: Vec<String>,
}

pub fn build(folder: &Path, json: bool) -> Result<(), Refused> {
    let Some(language) = Language::of(folder) else {
        let known = "Cargo.toml (Rust), requirements.txt (Python) or package.json (JavaScript)";
        return Err(Refused::unusable(
            format!("{} is no project of a plugin: there is no {known} in it", folder.display()),
            "Name the project's folder, or begin one: transload plugin new --kind sink --lang rust my-store",
        ));
    };
    let (text, manifest) = manifest(folder)?;
    let component = language.build(folder, &manifest)?;
    let place = pack(folder, &text, &manifest, &component)?;
    // Read as an agent reads it.
    let package = Package::read(&place).map_err(|why| Refused::failed(why.join("\n"), "Correct manifest.toml, then build again."))?;
    let built = Built {
        component: place.join(&manifest.component),
        folder: place,
        bytes: package.component.len(),
        sha256: package.sha256.clone(),
        misfits: misfits(&package, CodeCache::none()),
    };
    match json {
        true => println!("{}", serde_json::to_string_pretty(&built).expect("only string keys")),
        false => tell(folder, &manifest, &built),
    }
    fits(language, &manifest, &built)
}

fn manifest(folder: &Path) -> Result<(String, Manifest), Refused> {
    let path = folder.join(MANIFEST);
    let correct = "Correct it, then build again: docs/plugins.md says what each key means.";
    let text =
        fs::read_to_string(&path).map_err(|error| Refused::unusable(format!("{} cannot be read: {error}", path.display()), correct))?;
    let manifest = Manifest::parse(&text)
        .map_err(|why| Refused::unusable(format!("{} cannot be used:\n{}", path.display(), why.join("\n")), correct))?;
    checked(&manifest.name).map_err(|failed| Refused::unusable(format!("{}: {}", path.display(), failed.what), correct))?;
    Ok((text, manifest))
}

/// Writes `dist/<name>/{manifest.toml, <component>}`, the manifest with the component's digest.
fn pack(project: &Path, text: &str, manifest: &Manifest, component: &Path) -> Result<PathBuf, Refused> {
    let place = project.join("dist").join(&manifest.name);
    let unreadable =
        |error| Refused::failed(format!("the tool left no component: {}: {error}", component.display()), "Look at what it said above.");
    let bytes = fs::read(component).map_err(unreadable)?;
    let text = with_digest(text, &hex(&Sha256::digest(&bytes))).ok_or_else(|| {
        Refused::unusable("manifest.toml has no line that begins with sha256", "Add the line sha256 = \"\" below component.")
    })?;
    let pack = || -> std::io::Result<()> {
        fs::create_dir_all(&place)?;
        forget_signature(&place, &text)?;
        replace(&place.join(&manifest.component), &bytes)?;
        replace(&place.join(MANIFEST), text.as_bytes())
    };
    pack().map_err(|error| {
        Refused::failed(format!("{} cannot be written: {error}", place.display()), "Make room, or take over the folder, and build again.")
    })?;
    Ok(place)
}

/// A signature over another manifest would be refused wherever it is installed.
fn forget_signature(place: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(place.join(MANIFEST)).is_ok_and(|before| before == text) {
        return Ok(());
    }
    match fs::remove_file(place.join("manifest.toml.minisig")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An agent that runs from this folder keeps the file that it has open.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

/// The manifest with its line of the digest filled in; none when there is no such line.
fn with_digest(text: &str, digest: &str) -> Option<String> {
    let is_it = |line: &str| line.strip_prefix("sha256").is_some_and(|rest| rest.trim_start().starts_with('='));
    let filled = |line: &str| if is_it(line) { format!("sha256 = \"{digest}\"\n") } else { format!("{line}\n") };
    text.lines().any(is_it).then(|| text.lines().map(filled).collect())
}

fn tell(project: &Path, manifest: &Manifest, built: &Built) {
    let size = match built.bytes {
        small if small < 1 << 20 => format!("{} KiB", small.div_ceil(1 << 10)),
        large => format!("{:.1} MiB", large as f64 / f64::from(1 << 20)),
    };
    println!("Built {} {}, a {} plugin: {size}, SHA-256 {}.", manifest.name, manifest.version, manifest.kind.word(), built.sha256);
    println!("What an operator installs is {}.", short(&built.folder).display());
    if built.misfits.is_empty() {
        let config = project.join("transload.toml");
        let config = short(&config);
        println!("Next, with what it connects to running:");
        println!("  transload --config {} plugin approve {}", config.display(), manifest.name);
        println!("  transload --config {} plugin test{}", config.display(), tried_with(manifest.kind));
    }
}

/// What `plugin test` wants to know beside the configuration.
fn tried_with(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => " --vm NAME",
        Kind::Cutover => " --wave wave.toml",
        Kind::Sink | Kind::Launcher => "",
    }
}

/// As one types it, in the project's own folder.
fn short(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

fn fits(language: Language, manifest: &Manifest, built: &Built) -> Result<(), Refused> {
    if built.misfits.is_empty() {
        return Ok(());
    }
    let what = format!("{} was built, and this host cannot run it:\n{}", manifest.name, built.misfits.join("\n"));
    let any = |import: &str| built.misfits.iter().any(|why| why.starts_with(&format!("it imports {import}:")));
    let next = match (any("wasi"), any("transload")) {
        (true, _) => language.without_wasi(),
        (_, true) => language.without_imports(),
        _ => "Correct what is named, then build again.",
    };
    Err(Refused { code: 3, what, next: next.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "name = \"x\"\nkind = \"sink\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"  # the build's\n[limits]\n";

    fn packed(project: &Path, component: &str) -> (PathBuf, String) {
        let made = project.join("made.wasm");
        fs::write(&made, component).unwrap();
        let place = pack(project, TEXT, &Manifest::parse(TEXT).unwrap(), &made).unwrap();
        let manifest = fs::read_to_string(place.join(MANIFEST)).unwrap();
        (place, manifest)
    }

    #[test]
    fn what_is_packed_is_what_an_agent_reads_and_only_the_digest_is_new() {
        let project = tempfile::tempdir().unwrap();
        let (place, manifest) = packed(project.path(), "hello");
        let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(manifest, TEXT.replace("\"\"  # the build's", &format!("\"{digest}\"")));
        assert_eq!(place, project.path().join("dist/x"));
        assert_eq!(Package::read(&place).ok().unwrap().component, b"hello");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_signature_outlives_the_same_build_and_no_other() {
        let project = tempfile::tempdir().unwrap();
        let (place, _) = packed(project.path(), "hello");
        let signature = place.join("manifest.toml.minisig");
        fs::write(&signature, "signed").unwrap();
        packed(project.path(), "hello");
        assert!(signature.exists());
        packed(project.path(), "another");
        assert!(!signature.exists());
    }

    #[test]
    fn a_folder_without_a_project_and_a_manifest_that_cannot_be_used_are_said() {
        let place = tempfile::tempdir().unwrap();
        let refused = build(place.path(), true).unwrap_err();
        assert!(refused.code == 2 && refused.what.contains("there is no Cargo.toml (Rust), requirements.txt (Python) or"), "{refused:?}");
        fs::write(place.path().join("requirements.txt"), "").unwrap();
        assert!(build(place.path(), true).unwrap_err().what.contains("manifest.toml cannot be read: "));
        fs::write(place.path().join(MANIFEST), TEXT.replace("version", "versoin")).unwrap();
        let refused = build(place.path(), true).unwrap_err();
        assert!(refused.what.contains("unknown key \"versoin\"") && refused.what.contains("missing field `version`"), "{refused:?}");
        fs::write(place.path().join(MANIFEST), TEXT.replace("\"x\"", "\"../x\"")).unwrap();
        assert!(build(place.path(), true).unwrap_err().what.contains("is no name of a plugin"));
    }

    #[test]
    fn misfits_come_with_the_way_to_build_without_them() {
        let built = |misfits: &[&str]| Built {
            folder: PathBuf::new(),
            component: PathBuf::new(),
            bytes: 0,
            sha256: String::new(),
            misfits: misfits.iter().map(|why| (*why).to_owned()).collect(),
        };
        let manifest = Manifest::parse(TEXT).unwrap();
        let wasi = ["it imports wasi:sockets/tcp@0.2.6: raw network is never granted", "it imports vendor:own/thing: unknown"];
        let refused = fits(Language::Python, &manifest, &built(&wasi)).unwrap_err();
        assert_eq!((refused.code, refused.next.as_str()), (3, "componentize-py leaves every import of WASI out with --stub-wasi."));
        assert_eq!(refused.what.lines().count(), 3, "{}", refused.what);
        assert_eq!(fits(Language::Js, &manifest, &built(&wasi[1..])).unwrap_err().next, "Correct what is named, then build again.");
        let secrets = ["it imports transload:plugin/secrets@0.1.0: no secret is granted for signing"];
        assert!(fits(Language::Js, &manifest, &built(&secrets)).unwrap_err().next.starts_with("Leave the interface out of the world"));
        assert!(fits(Language::Rust, &manifest, &built(&secrets)).unwrap_err().next.starts_with("Do not call it"));
        assert_eq!(fits(Language::Rust, &manifest, &built(&[])), Ok(()));
    }
}
