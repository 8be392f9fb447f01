//! Where the programs under test and their counterparts are. `cargo xtask test --only spine` says so in the environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The agent; built now if nobody says where it is.
pub fn agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| {
        told("TRANSLOAD_AGENT").unwrap_or_else(|| {
            cargo(&["build", "--quiet", "--workspace", "--bin", "transload"]);
            target().join("debug/transload")
        })
    })
}

/// The demo; built now if nobody says where it is.
pub fn demo() -> PathBuf {
    told("TRANSLOAD_DEMO").unwrap_or_else(|| {
        cargo(&["build", "--quiet", "--workspace", "--bin", "transload-demo"]);
        target().join("debug/transload-demo")
    })
}

/// The plugins' folder; compiled and put together now if nobody says where it is.
pub fn plugins() -> &'static Path {
    static PLUGINS: OnceLock<PathBuf> = OnceLock::new();
    PLUGINS.get_or_init(|| told("TRANSLOAD_PLUGINS").unwrap_or_else(assemble))
}

fn assemble() -> PathBuf {
    const NAMES: [&str; 3] = ["storage-azure", "storage-s3", "vmware-cbt"];
    let packages = NAMES.iter().flat_map(|name| ["--package", name]);
    let build: Vec<&str> =
        ["build", "--quiet", "--profile", "component", "--target", "wasm32-wasip2"].into_iter().chain(packages).collect();
    cargo(&build);
    let folder = target().join("e2e-plugins");
    for name in NAMES {
        let component = target().join("wasm32-wasip2/component").join(format!("{}.wasm", name.replace('-', "_")));
        let component = std::fs::read(component).expect("it was just built");
        let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
        let manifest =
            std::fs::read_to_string(root().join("plugins").join(name).join("manifest.toml")).expect("each plugin has a manifest");
        let place = folder.join(name);
        std::fs::create_dir_all(&place).expect("the target folder can be written");
        std::fs::write(place.join(format!("{name}.wasm")), component).expect("the target folder can be written");
        let manifest = manifest.replace("sha256 = \"\"", &format!("sha256 = \"{digest}\""));
        std::fs::write(place.join("manifest.toml"), manifest).expect("the target folder can be written");
    }
    folder
}

/// A program that is no part of this repository. Without it the test that asks is skipped, loudly, unless that is forbidden.
pub fn foreign(variable: &str) -> Option<PathBuf> {
    let found = told(variable);
    if found.is_none() {
        skip(&format!("{variable} is not set: `cargo xtask test --only spine` provides it"));
    }
    found
}

/// Says that a test proves nothing here, or fails where that is not allowed.
pub fn skip(why: &str) {
    use std::io::Write;
    assert!(std::env::var_os("TRANSLOAD_FORBID_SKIP").is_none(), "skipping is forbidden: {why}");
    // The macros' output of a test that passes is swallowed; this is not.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Whether the long forms are asked for.
pub fn long() -> bool {
    std::env::var_os("TRANSLOAD_LONG").is_some()
}

/// Waits for something outside of this process. The lab is served by the same threads: one that simply stood still would keep back what it
/// took up before, and nobody else would look for new connections meanwhile.
pub fn waiting<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn told(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    assert!(path.exists(), "{variable} names {}, and nothing is there", path.display());
    Some(path)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn cargo(arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    let status = waiting(|| cargo.args(arguments).current_dir(root()).status()).expect("cargo starts");
    assert!(status.success(), "cargo {} failed", arguments.join(" "));
}
