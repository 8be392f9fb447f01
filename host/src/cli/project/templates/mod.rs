//! The files of a new project, as they lie in `host/templates` and in `wit`. `{{name}}` in them becomes the plugin's name.
//!
//! A project is put together of what its language needs whatever the kind, what its kind needs whatever the language, and its own code.
//! Python and JavaScript make their bindings of the contract themselves; Rust is given the SDK, which has done that.
//! A kind is a file here, and a line in `of`.

mod cutover;
mod sdk;
mod sink;
mod source;

use super::{Kind, Language};

/// Where a file goes in the project, and its text.
pub type File = (&'static str, &'static str);

/// Every file of a project.
pub fn of(kind: Kind, language: Language) -> Vec<File> {
    let (common, contract, rust, python, js) = match kind {
        Kind::Sink => (sink::COMMON, sink::CONTRACT, sink::RUST, sink::PYTHON, sink::JS),
        Kind::Source => (source::COMMON, source::CONTRACT, source::RUST, source::PYTHON, source::JS),
        Kind::Cutover => (cutover::COMMON, cutover::CONTRACT, cutover::RUST, cutover::PYTHON, cutover::JS),
    };
    match language {
        Language::Rust => [building(language), common, rust, sdk::FILES].concat(),
        Language::Python => [building(language), CONTRACT, common, contract, python].concat(),
        Language::Js => [building(language), CONTRACT, common, contract, js].concat(),
    }
}

/// The part of the contract that every kind meets.
const CONTRACT: &[File] = &[
    ("wit/deps/transload/bulk.wit", include_str!("../../../../../wit/bulk.wit")),
    ("wit/deps/transload/host.wit", include_str!("../../../../../wit/host.wit")),
    ("wit/deps/transload/http.wit", include_str!("../../../../../wit/http.wit")),
    ("wit/deps/transload/types.wit", include_str!("../../../../../wit/types.wit")),
];

/// What the ordinary tool of a language reads.
fn building(language: Language) -> &'static [File] {
    match language {
        Language::Rust => &[
            (".gitignore", include_str!("../../../../templates/rust/gitignore")),
            ("Cargo.toml", include_str!("../../../../templates/rust/Cargo.toml.template")),
        ],
        Language::Python => &[
            (".gitignore", include_str!("../../../../templates/python/gitignore")),
            ("requirements.txt", include_str!("../../../../templates/python/requirements.txt")),
        ],
        Language::Js => &[
            (".gitignore", include_str!("../../../../templates/js/gitignore")),
            ("package.json", include_str!("../../../../templates/js/package.json")),
        ],
    }
}
