//! The files of a new project, as they lie in `host/templates` and in `wit`. `{{name}}` in them becomes the plugin's name.

use super::Language;

/// Where a file goes in the project, and its text.
pub type File = (&'static str, &'static str);

/// Every file of a sink in this language.
pub fn sink(language: Language) -> Vec<File> {
    let own = match language {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::Js => JS,
    };
    [own, COMMON, CONTRACT].concat()
}

const COMMON: &[File] = &[
    ("transload.toml", include_str!("../../../templates/sink/transload.toml")),
    ("wit/plugin.wit", include_str!("../../../templates/sink/plugin.wit")),
];

/// The part of the contract that a sink meets: its own interface, what it imports, and the types of both.
const CONTRACT: &[File] = &[
    ("wit/deps/transload/bulk.wit", include_str!("../../../../wit/bulk.wit")),
    ("wit/deps/transload/host.wit", include_str!("../../../../wit/host.wit")),
    ("wit/deps/transload/http.wit", include_str!("../../../../wit/http.wit")),
    ("wit/deps/transload/sink.wit", include_str!("../../../../wit/sink.wit")),
    ("wit/deps/transload/types.wit", include_str!("../../../../wit/types.wit")),
];

const RUST: &[File] = &[
    (".gitignore", include_str!("../../../templates/sink-rust/gitignore")),
    ("Cargo.toml", include_str!("../../../templates/sink-rust/Cargo.toml.template")),
    ("README.md", include_str!("../../../templates/sink-rust/README.md")),
    ("manifest.toml", include_str!("../../../templates/sink-rust/manifest.toml")),
    ("src/answers.rs", include_str!("../../../templates/sink-rust/src/answers.rs")),
    ("src/lib.rs", include_str!("../../../templates/sink-rust/src/lib.rs")),
    ("src/settings.rs", include_str!("../../../templates/sink-rust/src/settings.rs")),
    ("src/store.rs", include_str!("../../../templates/sink-rust/src/store.rs")),
];

const PYTHON: &[File] = &[
    (".gitignore", include_str!("../../../templates/sink-python/gitignore")),
    ("README.md", include_str!("../../../templates/sink-python/README.md")),
    ("answers.py", include_str!("../../../templates/sink-python/answers.py")),
    ("app.py", include_str!("../../../templates/sink-python/app.py")),
    ("manifest.toml", include_str!("../../../templates/sink-python/manifest.toml")),
    ("requirements.txt", include_str!("../../../templates/sink-python/requirements.txt")),
    ("store.py", include_str!("../../../templates/sink-python/store.py")),
];

const JS: &[File] = &[
    (".gitignore", include_str!("../../../templates/sink-js/gitignore")),
    ("README.md", include_str!("../../../templates/sink-js/README.md")),
    ("manifest.toml", include_str!("../../../templates/sink-js/manifest.toml")),
    ("package.json", include_str!("../../../templates/sink-js/package.json")),
    ("src/answers.js", include_str!("../../../templates/sink-js/src/answers.js")),
    ("src/plugin.js", include_str!("../../../templates/sink-js/src/plugin.js")),
    ("src/store.js", include_str!("../../../templates/sink-js/src/store.js")),
];
