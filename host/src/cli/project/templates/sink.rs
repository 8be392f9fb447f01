//! A sink: a store of objects over plain HTTP.

use super::File;

pub const COMMON: &[File] = &[("transload.toml", include_str!("../../../../templates/sink/transload.toml"))];

/// What a language that makes its bindings of the contract finds of it, beside what every kind meets.
pub const CONTRACT: &[File] = &[
    ("wit/plugin.wit", include_str!("../../../../templates/sink/plugin.wit")),
    ("wit/deps/transload/sink.wit", include_str!("../../../../../wit/sink.wit")),
];

pub const RUST: &[File] = &[
    ("README.md", include_str!("../../../../templates/sink-rust/README.md")),
    ("manifest.toml", include_str!("../../../../templates/sink-rust/manifest.toml")),
    ("src/answers.rs", include_str!("../../../../templates/sink-rust/src/answers.rs")),
    ("src/lib.rs", include_str!("../../../../templates/sink-rust/src/lib.rs")),
    ("src/settings.rs", include_str!("../../../../templates/sink-rust/src/settings.rs")),
    ("src/store.rs", include_str!("../../../../templates/sink-rust/src/store.rs")),
];

pub const PYTHON: &[File] = &[
    ("README.md", include_str!("../../../../templates/sink-python/README.md")),
    ("answers.py", include_str!("../../../../templates/sink-python/answers.py")),
    ("app.py", include_str!("../../../../templates/sink-python/app.py")),
    ("manifest.toml", include_str!("../../../../templates/sink-python/manifest.toml")),
    ("store.py", include_str!("../../../../templates/sink-python/store.py")),
];

pub const JS: &[File] = &[
    ("README.md", include_str!("../../../../templates/sink-js/README.md")),
    ("manifest.toml", include_str!("../../../../templates/sink-js/manifest.toml")),
    ("src/answers.js", include_str!("../../../../templates/sink-js/src/answers.js")),
    ("src/plugin.js", include_str!("../../../../templates/sink-js/src/plugin.js")),
    ("src/store.js", include_str!("../../../../templates/sink-js/src/store.js")),
];
