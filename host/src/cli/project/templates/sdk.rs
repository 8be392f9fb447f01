//! The SDK that a project in Rust is written with: `plugins/guest` and the whole contract, copied into the project's folder `sdk`.
//!
//! A copy and not a package from a registry: it speaks the very contract that this program does, there is nothing to publish, and what a
//! vendor built once builds in ten years.

use super::File;

#[rustfmt::skip]
pub const FILES: &[File] = &[
    ("sdk/Cargo.toml", include_str!("../../../../templates/rust/sdk.toml.template")),
    ("sdk/LICENSE", include_str!("../../../../../LICENSE")),
    ("sdk/rustfmt.toml", include_str!("../../../../../rustfmt.toml")),
    ("sdk/src/bindings.rs", include_str!("../../../../../plugins/guest/src/bindings.rs")),
    ("sdk/src/clocks.rs", include_str!("../../../../../plugins/guest/src/clocks.rs")),
    ("sdk/src/cutover.rs", include_str!("../../../../../plugins/guest/src/cutover.rs")),
    ("sdk/src/doors/cutover.rs", include_str!("../../../../../plugins/guest/src/doors/cutover.rs")),
    ("sdk/src/doors/mod.rs", include_str!("../../../../../plugins/guest/src/doors/mod.rs")),
    ("sdk/src/doors/sink.rs", include_str!("../../../../../plugins/guest/src/doors/sink.rs")),
    ("sdk/src/doors/source.rs", include_str!("../../../../../plugins/guest/src/doors/source.rs")),
    ("sdk/src/endpoint.rs", include_str!("../../../../../plugins/guest/src/endpoint.rs")),
    ("sdk/src/fault.rs", include_str!("../../../../../plugins/guest/src/fault.rs")),
    ("sdk/src/http.rs", include_str!("../../../../../plugins/guest/src/http.rs")),
    ("sdk/src/imports.rs", include_str!("../../../../../plugins/guest/src/imports.rs")),
    ("sdk/src/lib.rs", include_str!("../../../../../plugins/guest/src/lib.rs")),
    ("sdk/src/logins.rs", include_str!("../../../../../plugins/guest/src/logins.rs")),
    ("sdk/src/machine.rs", include_str!("../../../../../plugins/guest/src/machine.rs")),
    ("sdk/src/paging.rs", include_str!("../../../../../plugins/guest/src/paging.rs")),
    ("sdk/src/percent.rs", include_str!("../../../../../plugins/guest/src/percent.rs")),
    ("sdk/src/ports.rs", include_str!("../../../../../plugins/guest/src/ports.rs")),
    ("sdk/src/shared.rs", include_str!("../../../../../plugins/guest/src/shared.rs")),
    ("sdk/src/sink.rs", include_str!("../../../../../plugins/guest/src/sink.rs")),
    ("sdk/src/source.rs", include_str!("../../../../../plugins/guest/src/source.rs")),
    ("sdk/src/store.rs", include_str!("../../../../../plugins/guest/src/store.rs")),
    ("sdk/src/words.rs", include_str!("../../../../../plugins/guest/src/words.rs")),
    ("sdk/src/xml.rs", include_str!("../../../../../plugins/guest/src/xml.rs")),
    ("sdk/wit/bulk.wit", include_str!("../../../../../wit/bulk.wit")),
    ("sdk/wit/cutover.wit", include_str!("../../../../../wit/cutover.wit")),
    ("sdk/wit/host.wit", include_str!("../../../../../wit/host.wit")),
    ("sdk/wit/http.wit", include_str!("../../../../../wit/http.wit")),
    ("sdk/wit/launcher.wit", include_str!("../../../../../wit/launcher.wit")),
    ("sdk/wit/machine.wit", include_str!("../../../../../wit/machine.wit")),
    ("sdk/wit/sink.wit", include_str!("../../../../../wit/sink.wit")),
    ("sdk/wit/source.wit", include_str!("../../../../../wit/source.wit")),
    ("sdk/wit/types.wit", include_str!("../../../../../wit/types.wit")),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files_below(folder: &Path, prefix: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let below = entries.flat_map(|entry| {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => files_below(&entry.path(), &format!("{path}/")),
                false => BTreeSet::from([path]),
            }
        });
        below.collect()
    }

    #[test]
    fn every_file_of_the_sdk_and_of_the_contract_is_copied() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut expected = files_below(&root.join("plugins/guest/src"), "sdk/src/");
        expected.extend(files_below(&root.join("wit"), "sdk/wit/"));
        expected.extend(["sdk/Cargo.toml", "sdk/LICENSE", "sdk/rustfmt.toml"].map(str::to_owned));
        let copied: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(copied, expected);
    }

    #[test]
    fn the_copy_has_the_features_and_the_dependencies_of_the_original() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap().parse::<toml::Table>().unwrap();
        let (original, workspace) = (read("plugins/guest/Cargo.toml"), read("Cargo.toml"));
        let copy: toml::Table = FILES[0].1.parse().unwrap();
        assert_eq!(copy["features"], original["features"]);
        for field in ["version", "edition", "license", "rust-version"] {
            assert_eq!(copy["package"][field], workspace["workspace"]["package"][field]);
        }
        let names = |table: &toml::Table| table["dependencies"].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&copy), names(&original));
        for name in names(&copy) {
            let decided = &workspace["workspace"]["dependencies"][&name];
            let version = |value: &toml::Value| value.get("version").unwrap_or(value).clone();
            assert_eq!(version(&copy["dependencies"][&name]), version(decided), "{name}");
        }
    }
}
