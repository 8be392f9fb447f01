//! A plugin as its vendor has it: a folder with source code, the contract and a manifest, which stands alone.
//!
//! ```text
//!   plugin new ───▶ NAME/            source code, wit/, manifest.toml, a configuration to try it with
//!   plugin build ─▶ NAME/dist/NAME/  manifest.toml with the component's digest, and the component
//!                        │
//!                        ├─▶ plugin approve, plugin test: here, with the configuration that lies beside it
//!                        └─▶ copied into the plugins folder of an agent: as any vendor ships it
//! ```
//!
//! None of this needs an agent or a configuration. What builds is the ordinary tool of the language; nothing is downloaded here.

mod build;
mod new;
mod templates;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::print::plain;

/// What a project is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Python,
    Js,
}

/// The kinds of plugins that the contract knows and a vendor may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Source,
    Sink,
    Cutover,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Writes a project for a plugin of your own: source code, the contract, a manifest, and a configuration to try it with.
    New {
        /// The plugin's name; its folder is called so, and operators write it into their configuration.
        name: String,
        /// What the plugin connects to.
        #[arg(long, value_enum)]
        kind: Kind,
        /// What it is written in.
        #[arg(long, value_enum)]
        lang: Language,
        /// Write into this folder, which must be empty or not there; otherwise into one of the plugin's name.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Builds a project with the ordinary tool of its language, and puts what an operator installs into its folder dist/.
    Build {
        /// The project's folder.
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
    },
}

/// What went wrong, what became of the files, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    code: u8,
    what: String,
    next: String,
}

impl Refused {
    /// The arguments or the files that they name cannot be used.
    fn unusable(what: impl Into<String>, next: impl Into<String>) -> Refused {
        Refused { code: 2, what: what.into(), next: next.into() }
    }

    fn failed(what: impl Into<String>, next: impl Into<String>) -> Refused {
        Refused { code: 1, what: what.into(), next: next.into() }
    }
}

pub fn main(json: bool, verb: &Verb) -> ExitCode {
    let done = match verb {
        Verb::New { name, kind, lang, into } => new::write(name, *kind, *lang, into.as_deref(), json),
        Verb::Build { folder } => build::build(folder, json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused { code, what, next }) => {
            let told: Vec<String> = what.lines().map(|line| plain(line.trim())).collect();
            eprintln!("transload: {}\n{}", told.join("\n  - "), plain(&next));
            ExitCode::from(code)
        }
    }
}
