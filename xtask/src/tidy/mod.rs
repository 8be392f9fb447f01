//! The house rules, as tests. Each rule reads the tree and answers with what breaks it, and where.

mod allows;
mod contract;
mod dependencies;
mod layering;
mod length;
mod machines;
mod module_docs;
mod tree;
mod unfinished;

use std::fmt;

pub use tree::Tree;

pub struct Rule {
    pub name: &'static str,
    pub says: &'static str,
    pub check: fn(&Tree) -> Vec<Break>,
}

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Break {
    /// `path:line`, or the path alone.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}

pub const RULES: &[Rule] = &[
    Rule { name: "layering", says: "a module uses only what its row allows", check: layering::modules },
    Rule { name: "crates", says: "a crate depends only on the crates that its row allows", check: layering::crates },
    Rule { name: "unfinished", says: "nothing in the tree is left for later", check: unfinished::check },
    Rule { name: "machines", says: "nothing in the tree knows one machine or its mirrors", check: machines::check },
    Rule { name: "length", says: "one file, one idea; an idea fits into 600 lines", check: length::check },
    Rule { name: "module_docs", says: "a source file of the host begins with what it is", check: module_docs::check },
    Rule { name: "allows", says: "a lint is silenced with a reason", check: allows::check },
    Rule { name: "contract", says: "every function and type of the contract is documented", check: contract::check },
    Rule { name: "dependencies", says: "a dependency is a decision, and ARCHITECTURE.md has its reason", check: dependencies::check },
];
