//! The ordinary tools that make components, one for each language: where they are, how they are called, what they leave.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;

use super::{Language, Refused};
use crate::wasm::Manifest;

const TARGET: &str = "wasm32-wasip2";

impl Language {
    /// By the file that the language's own tool looks for.
    pub fn of(folder: &Path) -> Option<Language> {
        [Language::Rust, Language::Python, Language::Js].into_iter().find(|language| folder.join(language.file()).is_file())
    }

    pub fn file(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::Python => "requirements.txt",
            Language::Js => "package.json",
        }
    }

    /// What is run once, before the first build.
    pub fn setup(self) -> &'static [&'static str] {
        match self {
            Language::Rust => &["rustup target add wasm32-wasip2"],
            Language::Python => &["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"],
            Language::Js => &["npm install"],
        }
    }

    /// Runs the tool in the project's folder, its output on our standard error, and answers where the component is.
    pub fn build(self, folder: &Path, manifest: &Manifest) -> Result<PathBuf, Refused> {
        match self {
            Language::Rust => cargo(folder),
            Language::Python => componentize_py(folder, manifest).map(|()| folder.join(&manifest.component)),
            Language::Js => npm(folder).map(|()| folder.join(&manifest.component)),
        }
    }

    /// How to build without an interface of the contract that the manifest asks nothing for.
    pub fn without_imports(self) -> &'static str {
        match self {
            Language::Rust => "Do not call it, or ask in manifest.toml for what is named.",
            Language::Python | Language::Js => {
                "Leave the interface out of the world in wit/plugin.wit, or ask in manifest.toml for what is named."
            }
        }
    }

    /// Where imports come from that no host grants, and how to build without them.
    pub fn without_wasi(self) -> &'static str {
        match self {
            Language::Rust => {
                "What the standard library needs for files, sockets and processes becomes an import as soon as it is used: leave std::fs, \
                 std::net and std::process out, and crates that use them."
            }
            Language::Python => "componentize-py leaves every import of WASI out with --stub-wasi.",
            Language::Js => "componentize-js leaves every import of WASI out with --disable stdio random clocks http fetch-event.",
        }
    }
}

/// One message of cargo's; of interest is the one that names the component.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn cargo(folder: &Path) -> Result<PathBuf, Refused> {
    let install = "Install Rust by rustup, then add the target: rustup target add wasm32-wasip2";
    has_target(folder)?;
    let mut command = Command::new("cargo");
    // Where it builds to is a matter of settings outside of this folder, so it is asked.
    command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| no_tool("cargo", &error, install))?;
    let mut component = None;
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in output.lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Message>(&line) else { continue };
        let made = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
        if message.reason == "compiler-artifact" {
            component = message.filenames.into_iter().find(made).or(component);
        }
    }
    let status = child.wait().map_err(|error| no_tool("cargo", &error, install))?;
    succeeded(status, &format!("cargo build --release --target {TARGET}"))?;
    component.ok_or_else(|| {
        Refused::failed(
            format!("cargo built no component in {}; dist/ is as it was", folder.display()),
            "Cargo.toml must say crate-type = [\"cdylib\"] under [lib].",
        )
    })
}

/// Asked of the compiler and not of rustup: a distribution's Rust has no rustup and may well have the target.
fn has_target(folder: &Path) -> Result<(), Refused> {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder).output();
    let asked =
        asked.map_err(|error| no_tool("rustc", &error, "Install Rust by rustup, then add the target: rustup target add wasm32-wasip2"))?;
    match Path::new(String::from_utf8_lossy(&asked.stdout).trim()).is_dir() && asked.status.success() {
        true => Ok(()),
        false => Err(Refused::failed(
            format!("this Rust cannot build for {TARGET}; dist/ is as it was"),
            format!("Add the target: rustup target add {TARGET}"),
        )),
    }
}

fn componentize_py(folder: &Path, manifest: &Manifest) -> Result<(), Refused> {
    const NAME: &str = "componentize-py";
    // A virtual environment of the project's own, or whatever is active.
    let own = [".venv/bin", "venv/bin"].map(|place| folder.join(place).join(NAME)).into_iter().find(|program| program.is_file());
    let mut command = Command::new(own.and_then(|program| std::path::absolute(program).ok()).unwrap_or_else(|| NAME.into()));
    command.args(["--wit-path", "wit", "--world", "plugin", "componentize", "--stub-wasi", "app", "--output", &manifest.component]);
    run(&mut command, folder, NAME, "In the project's folder: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt")
}

/// The project says itself, under "scripts", how it is built.
fn npm(folder: &Path) -> Result<(), Refused> {
    let mut command = Command::new("npm");
    command.args(["run", "--silent", "build"]);
    if !folder.join("node_modules").exists() {
        return Err(Refused::failed(
            "what package.json names is not installed; dist/ is as it was",
            "In the project's folder: npm install",
        ));
    }
    run(&mut command, folder, "npm", "Install Node.js with npm, then, in the project's folder: npm install")
}

fn run(command: &mut Command, folder: &Path, name: &str, install: &str) -> Result<(), Refused> {
    let shown = std::iter::once(name.into()).chain(command.get_args().map(|word| word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    command.current_dir(folder).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().map_err(|error| no_tool(name, &error, install))?;
    succeeded(status, &shown)
}

fn succeeded(status: ExitStatus, shown: &str) -> Result<(), Refused> {
    match status.success() {
        true => Ok(()),
        false => Err(Refused::failed(format!("`{shown}` failed ({status}); dist/ is as it was"), "What it said stands above.")),
    }
}

fn no_tool(name: &str, error: &std::io::Error, install: &str) -> Refused {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {name} here, which builds this project; dist/ is as it was"),
        _ => format!("{name} does not start: {error}; dist/ is as it was"),
    };
    Refused::failed(what, install)
}
