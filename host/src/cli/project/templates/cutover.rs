//! A cutover: names at a PowerDNS server.

use super::File;

pub const COMMON: &[File] = &[
    ("transload.toml", include_str!("../../../../templates/cutover/transload.toml")),
    ("wave.toml", include_str!("../../../../templates/cutover/wave.toml")),
];

/// What a language that makes its bindings of the contract finds of it, beside what every kind meets.
pub const CONTRACT: &[File] = &[
    ("wit/plugin.wit", include_str!("../../../../templates/cutover/plugin.wit")),
    ("wit/deps/transload/cutover.wit", include_str!("../../../../../wit/cutover.wit")),
];

pub const RUST: &[File] = &[
    ("README.md", include_str!("../../../../templates/cutover-rust/README.md")),
    ("manifest.toml", include_str!("../../../../templates/cutover-rust/manifest.toml")),
    ("src/lib.rs", include_str!("../../../../templates/cutover-rust/src/lib.rs")),
    ("src/plan.rs", include_str!("../../../../templates/cutover-rust/src/plan.rs")),
    ("src/server.rs", include_str!("../../../../templates/cutover-rust/src/server.rs")),
];

pub const PYTHON: &[File] = &[
    ("README.md", include_str!("../../../../templates/cutover-python/README.md")),
    ("app.py", include_str!("../../../../templates/cutover-python/app.py")),
    ("manifest.toml", include_str!("../../../../templates/cutover-python/manifest.toml")),
    ("plan.py", include_str!("../../../../templates/cutover-python/plan.py")),
    ("server.py", include_str!("../../../../templates/cutover-python/server.py")),
];

pub const JS: &[File] = &[
    ("README.md", include_str!("../../../../templates/cutover-js/README.md")),
    ("manifest.toml", include_str!("../../../../templates/cutover-js/manifest.toml")),
    ("src/plan.js", include_str!("../../../../templates/cutover-js/src/plan.js")),
    ("src/plugin.js", include_str!("../../../../templates/cutover-js/src/plugin.js")),
    ("src/server.js", include_str!("../../../../templates/cutover-js/src/server.js")),
];
