//! Who may use whom. ARCHITECTURE.md draws it; this table is what counts.
//!
//! The edges of the host are read from its syntax: `use` trees, paths in code, and paths inside macros. What only tests use counts as
//! well: a policy whose tests need a driver is no policy.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Break, Tree};

struct Row {
    module: &'static str,
    /// Modules, or one module inside another: `log::sink`.
    uses: &'static [&'static str],
    because: &'static str,
}

const HOST: &str = "host/src/";

/// The host. Clock, randomness, processors and files are handed in by callers, so that a simulation can hand in others.
const ROWS: &[Row] = &[
    Row { module: "model", uses: &[], because: "plain values: no I/O, no async, no clock; everybody can use them without fear" },
    Row { module: "clock", uses: &["model"], because: "time comes in as an argument; this is where it comes from" },
    Row { module: "random", uses: &["model"], because: "randomness comes in as an argument; this is where it comes from" },
    Row { module: "cpu", uses: &["model"], because: "where computations run is the caller's choice" },
    Row { module: "files", uses: &["model"], because: "replica files come in as an argument; a simulation loses what was not flushed" },
    Row { module: "waypoint", uses: &[], because: "a moment has a name and knows nobody; whoever reaches one says so" },
    Row { module: "memory", uses: &[], because: "it speaks with the allocator and nobody else" },
    Row { module: "telemetry", uses: &["model"], because: "it writes down what others tell it" },
    Row { module: "policy", uses: &["model"], because: "pure decisions: same state and time, same answer, without a runtime" },
    Row {
        module: "log",
        uses: &["model", "clock", "random", "cpu", "files"],
        because: "the format outlives the program; it knows neither who writes nor who reads",
    },
    Row { module: "journal", uses: &["model", "waypoint"], because: "it keeps facts and asks for no reason" },
    Row {
        module: "pipeline",
        uses: &["model", "log", "random", "cpu", "files"],
        because: "bytes flow one way; no stage knows who decides",
    },
    Row {
        module: "receiver",
        uses: &["model", "log", "random", "cpu", "files", "waypoint"],
        because: "it believes the log alone; the gateway may be on another continent, or somebody else",
    },
    Row {
        module: "driver",
        uses: &["policy", "journal", "pipeline", "receiver", "log", "model", "clock", "random", "cpu", "files", "waypoint"],
        because: "it orders effects; plugins, sockets and settings come in behind traits, so that a simulation can be them",
    },
    Row { module: "cutover", uses: &["model"], because: "what moves names and traffic comes in behind a trait" },
    Row { module: "secret", uses: &["model"], because: "it holds a value and says nothing" },
    Row { module: "net", uses: &["model", "secret", "clock"], because: "it reaches what it is told to reach" },
    Row {
        module: "config",
        uses: &["model", "secret", "net", "policy::calendar", "policy::throttle"],
        because: "it reads the operator's wishes into the values that policy decides by; nothing starts here",
    },
    Row {
        module: "wasm",
        uses: &[
            "model",
            "log::sink",
            "log::seal",
            "log::meter",
            "pipeline::source",
            "cutover",
            "net",
            "secret",
            "config",
            "clock",
            "random",
        ],
        because: "the only door to plugins: it implements the callers' traits and knows nothing else of them",
    },
    Row {
        module: "kit",
        uses: &["model", "log::sink", "log::seal", "log::layout", "pipeline::source", "cutover", "random"],
        because: "it tries a plugin from outside, by the trait that everybody calls it by",
    },
    Row {
        module: "simulate",
        uses: &["model", "policy", "config"],
        because: "it plays the agent's own decisions in virtual time; a world of its own, and no effect on the real one",
    },
    Row { module: "folder", uses: &["model", "files"], because: "it is local storage for real, and nothing else" },
    Row {
        module: "api",
        uses: &["driver", "policy", "model", "log::meter"],
        because: "commands in, views out; it shows what the driver holds and what policy makes of it, and reaches nothing",
    },
    Row {
        module: "desk",
        uses: &["api", "agent", "driver", "policy", "receiver", "log", "model", "files", "folder"],
        because: "it carries commands out on a running agent; plugins, sockets and settings are the agent's",
    },
];

/// They put the rest together, so they know all of it.
const KNOW_ALL: &[&str] = &["main", "lib", "cli", "agent"];

pub fn modules(tree: &Tree) -> Vec<Break> {
    check(tree, ROWS, KNOW_ALL)
}

fn check(tree: &Tree, rows: &[Row], know_all: &[&str]) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.under(HOST, ".rs") {
        let module = module_of(&file.path[HOST.len()..]);
        let top = module[0].as_str();
        if know_all.contains(&top) {
            continue;
        }
        let Some(row) = rows.iter().find(|row| row.module == top) else {
            breaks.push(Break {
                place: file.path.clone(),
                what: format!("module {top} has no row in xtask/src/tidy/layering.rs; add one that says whom it may use, and why"),
            });
            continue;
        };
        let syntax = match syn::parse_file(&file.text) {
            Ok(syntax) => syntax,
            Err(error) => {
                breaks.push(Break { place: file.at(error.span().start().line), what: format!("cannot be parsed: {error}") });
                continue;
            }
        };
        let mut uses = Uses { module: module.clone(), found: BTreeSet::new() };
        uses.visit_file(&syntax);
        for (line, path) in uses.found {
            if path[0] != top && !row.uses.iter().any(|allowed| reaches(&path, allowed)) {
                let allowed = if row.uses.is_empty() { "nothing".to_owned() } else { row.uses.join(", ") };
                breaks.push(Break {
                    place: file.at(line),
                    what: format!("{top} uses {}, but its row says: {top} uses {allowed} — {}", path.join("::"), row.because),
                });
            }
        }
    }
    breaks
}

/// `log/seal.rs` is log::seal, `log/mod.rs` is log.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

fn reaches(path: &[String], allowed: &str) -> bool {
    let allowed: Vec<_> = allowed.split("::").collect();
    path.len() >= allowed.len() && path.iter().zip(&allowed).all(|(have, want)| have == want)
}

/// The paths into the crate that a file mentions, each with its line.
struct Uses {
    module: Vec<String>,
    found: BTreeSet<(usize, Vec<String>)>,
}

impl Uses {
    /// Notes a path as written; only those that begin at the crate or above this module can leave the module.
    fn note(&mut self, line: usize, written: &[String]) {
        let path = match written.first().map(String::as_str) {
            Some("crate") => written[1..].to_vec(),
            Some("super") => {
                let ups = written.iter().take_while(|part| *part == "super").count();
                let base = &self.module[..self.module.len().saturating_sub(ups)];
                base.iter().chain(&written[ups..]).cloned().collect()
            }
            _ => return,
        };
        if !path.is_empty() {
            self.found.insert((line, path));
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (line, path) = match tree {
            syn::UseTree::Path(path) => return self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => return group.items.iter().for_each(|item| self.tree(prefix, item)),
            syn::UseTree::Name(name) if name.ident == "self" => (name.span(), prefix.to_vec()),
            syn::UseTree::Name(name) => (name.span(), with(&name.ident)),
            syn::UseTree::Rename(rename) => (rename.span(), with(&rename.ident)),
            syn::UseTree::Glob(glob) => (glob.span(), prefix.to_vec()),
        };
        self.note(line.start().line, &path);
    }

    /// A macro's input is not syntax yet, but a path in it is still a path.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (Vec::new(), 0, 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) if colons == 2 => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.note(line, &path);
                    line = ident.span().start().line;
                    path = vec![ident.to_string()];
                }
                other => {
                    self.note(line, &path);
                    path.clear();
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
            colons = 0;
        }
        self.note(line, &path);
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(path.span().start().line, &written);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
        visit::visit_macro(self, invocation);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

/// Which of our crates a crate may depend on. Who has no row may depend on none of them.
const CRATES: &[(&str, &[&str], &str)] = &[
    ("host/", &[], "the agent knows no plugin and no test"),
    ("lab/", &[], "the lab is an independent opinion; sharing code with the agent would share its mistakes"),
    ("sim/", &["transload"], "it is the host, with both ends in memory"),
    (
        "bench/",
        &["transload", "transload-lab", "e2e"],
        "it measures the host between ends of its own, and beside other programs at the tests' servers",
    ),
    ("plugins/guest/", &[], "what plugins share knows none of them"),
    ("plugins/", &["transload-guest"], "a plugin meets the host through wit/ alone, as a stranger's would"),
    ("tests/guests/", &["transload-guest"], "a test's guest is a plugin"),
    ("demo/", &["transload-lab"], "it runs the agent as a user does: as a process"),
    ("tests/", &["transload", "transload-lab", "e2e"], "end to end"),
    ("fuzz/libfuzzer/", &["fuzz"], "it hands inputs on, and nothing else: no suite compiles it"),
    ("fuzz/", &["transload", "storage-azure", "storage-s3", "vmware-cbt", "transload-guest"], "it feeds decoders"),
    ("xtask/", &[], "every verb waits for it to compile"),
];

const OURS: &[&str] = &[
    "transload",
    "transload-lab",
    "transload-guest",
    "transload-demo",
    "transload-bench",
    "sim",
    "xtask",
    "storage-azure",
    "storage-s3",
    "vmware-cbt",
    "e2e",
    "fuzz",
];

pub fn crates(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let row = CRATES.iter().find(|(folder, ..)| file.path.starts_with(folder));
        let Ok(manifest) = file.text.parse::<toml::Table>() else { continue };
        for name in super::dependencies::of(&manifest) {
            if !OURS.contains(&name.as_str()) || row.is_some_and(|(_, allowed, _)| allowed.contains(&name.as_str())) {
                continue;
            }
            let because = row.map_or("it has no row in xtask/src/tidy/layering.rs", |(.., because)| because);
            breaks.push(Break { place: file.path.clone(), what: format!("depends on {name}; it must not: {because}") });
        }
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Row] = &[
        Row { module: "model", uses: &[], because: "plain values" },
        Row { module: "policy", uses: &["model"], because: "pure decisions" },
        Row { module: "wasm", uses: &["log::sink"], because: "the only door" },
    ];

    fn breaks(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)]), TABLE, &["main"]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_break_shows_its_line_its_row_and_the_reason() {
        assert_eq!(
            breaks("host/src/policy/vm.rs", "use crate::model::VmId;\nuse crate::driver::Gateway;\n"),
            ["host/src/policy/vm.rs:2: policy uses driver::Gateway, but its row says: policy uses model — pure decisions"]
        );
    }

    #[test]
    fn an_edge_is_found_however_it_is_written() {
        for text in [
            "use crate::{model::VmId, log::Store};",
            "use super::super::log::Store;",
            "use crate::log;",
            "use crate::log::*;",
            "use crate::log as paper;",
            "fn f(store: &crate::log::Store) {}",
            "fn f() { crate::log::open() }",
            "fn f() { assert!(a, crate::log::open()) }",
            "fn f() { vec![x, [crate::log::open()]]; }",
            "#[cfg(test)] mod tests { use super::super::super::log::Store; }",
            "pub use crate::log::Store;",
        ] {
            assert_eq!(breaks("host/src/policy/vm.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_stays_inside_or_is_allowed_is_no_break() {
        for text in [
            "use crate::policy::mode::Mode; use super::mode::Mode; use crate::model::*;",
            "pub(in super::super) fn f() {} pub(crate) fn g() {}",
            "mod tests { use super::*; use super::super::mode; }",
            "fn f() { log::info!(\"an outer crate of that name\") }",
        ] {
            assert_eq!(breaks("host/src/policy/vm.rs", text), [] as [&str; 0], "{text}");
        }
    }

    #[test]
    fn a_row_may_open_one_module_inside_another() {
        assert_eq!(breaks("host/src/wasm/sink.rs", "use crate::log::sink::Sink;"), [] as [&str; 0]);
        assert_eq!(breaks("host/src/wasm/sink.rs", "use crate::log::store::Store;").len(), 1);
        assert_eq!(breaks("host/src/wasm/sink.rs", "use crate::log;").len(), 1);
    }

    #[test]
    fn a_module_without_a_row_is_a_break() {
        assert!(breaks("host/src/rest.rs", "").remove(0).contains("module rest has no row"));
        assert_eq!(breaks("host/src/main.rs", "use transload::driver;"), [] as [&str; 0]);
    }

    #[test]
    fn a_plugin_that_imports_the_host_is_a_break() {
        let manifest = "[dependencies]\ntransload.workspace = true\ntransload-guest.workspace = true\n";
        assert_eq!(crates(&Tree::of(&[("plugins/x/Cargo.toml", manifest)])).len(), 1);
        assert_eq!(crates(&Tree::of(&[("sim/Cargo.toml", "[dependencies]\ntransload.workspace = true\n")])), []);
        let for_tests = "[dev-dependencies]\ntransload = { path = \"../host\" }\n";
        assert_eq!(crates(&Tree::of(&[("lab/Cargo.toml", for_tests)])).len(), 1);
    }
}
