//! A source: machines that were exported as images into a store of objects.

use super::File;

pub const COMMON: &[File] = &[("transload.toml", include_str!("../../../../templates/source/transload.toml"))];

/// What a language that makes its bindings of the contract finds of it, beside what every kind meets.
pub const CONTRACT: &[File] = &[
    ("wit/plugin.wit", include_str!("../../../../templates/source/plugin.wit")),
    ("wit/deps/transload/machine.wit", include_str!("../../../../../wit/machine.wit")),
    ("wit/deps/transload/source.wit", include_str!("../../../../../wit/source.wit")),
];

pub const RUST: &[File] = &[
    ("README.md", include_str!("../../../../templates/source-rust/README.md")),
    ("manifest.toml", include_str!("../../../../templates/source-rust/manifest.toml")),
    ("src/answers.rs", include_str!("../../../../templates/source-rust/src/answers.rs")),
    ("src/bucket.rs", include_str!("../../../../templates/source-rust/src/bucket.rs")),
    ("src/lib.rs", include_str!("../../../../templates/source-rust/src/lib.rs")),
    ("src/machines.rs", include_str!("../../../../templates/source-rust/src/machines.rs")),
    ("src/settings.rs", include_str!("../../../../templates/source-rust/src/settings.rs")),
    ("src/snapshots.rs", include_str!("../../../../templates/source-rust/src/snapshots.rs")),
];

pub const PYTHON: &[File] = &[
    ("README.md", include_str!("../../../../templates/source-python/README.md")),
    ("answers.py", include_str!("../../../../templates/source-python/answers.py")),
    ("app.py", include_str!("../../../../templates/source-python/app.py")),
    ("bucket.py", include_str!("../../../../templates/source-python/bucket.py")),
    ("machines.py", include_str!("../../../../templates/source-python/machines.py")),
    ("manifest.toml", include_str!("../../../../templates/source-python/manifest.toml")),
    ("snapshots.py", include_str!("../../../../templates/source-python/snapshots.py")),
];

pub const JS: &[File] = &[
    ("README.md", include_str!("../../../../templates/source-js/README.md")),
    ("manifest.toml", include_str!("../../../../templates/source-js/manifest.toml")),
    ("src/answers.js", include_str!("../../../../templates/source-js/src/answers.js")),
    ("src/bucket.js", include_str!("../../../../templates/source-js/src/bucket.js")),
    ("src/machines.js", include_str!("../../../../templates/source-js/src/machines.js")),
    ("src/plugin.js", include_str!("../../../../templates/source-js/src/plugin.js")),
    ("src/snapshots.js", include_str!("../../../../templates/source-js/src/snapshots.js")),
];
