//! A dependency is a decision. It is taken once, in the workspace, and ARCHITECTURE.md gives its licence, its reason and its weight.

use std::collections::BTreeSet;

use super::{Break, Tree};

const TABLE: &str = "ARCHITECTURE.md";

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    let (decided, reasons) = (decided(tree), reasons(tree));
    for name in decided.difference(&reasons) {
        breaks.push(Break { place: "Cargo.toml".to_owned(), what: format!("{name} has no full row in the dependency table of {TABLE}") });
    }
    for name in reasons.difference(&decided) {
        breaks.push(Break { place: TABLE.to_owned(), what: format!("{name} has a reason, but nothing depends on it") });
    }
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/libfuzzer/")) {
        let Ok(manifest) = file.text.parse::<toml::Table>() else { continue };
        for (name, value) in tables(&manifest).into_iter().flatten() {
            let from_workspace = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if !from_workspace && value.get("path").is_none() {
                let what = format!("{name} is decided here; decide it in the workspace and write `{name}.workspace = true`");
                breaks.push(Break { place: file.path.clone(), what });
            }
        }
    }
    breaks
}

/// The names of everything that a package depends on, however and wherever.
pub fn of(manifest: &toml::Table) -> BTreeSet<String> {
    tables(manifest).into_iter().flat_map(|table| table.keys().cloned()).collect()
}

fn tables(manifest: &toml::Table) -> Vec<&toml::Table> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(|targets| targets.values());
    let holders = std::iter::once(manifest).chain(targets.filter_map(toml::Value::as_table));
    holders.flat_map(|holder| kinds.iter().filter_map(|kind| holder.get(*kind)?.as_table())).collect()
}

/// What the workspace depends on, our own crates aside.
fn decided(tree: &Tree) -> BTreeSet<String> {
    let manifest = tree.file("Cargo.toml").and_then(|file| file.text.parse::<toml::Table>().ok());
    let workspace = manifest.as_ref().and_then(|manifest| manifest.get("workspace")?.get("dependencies")?.as_table());
    let others = workspace.into_iter().flatten().filter(|(_, value)| value.get("path").is_none());
    others.map(|(name, _)| name.clone()).collect()
}

/// The names in rows of the table that have all their cells: `| serde | licence | why | weight |`.
fn reasons(tree: &Tree) -> BTreeSet<String> {
    let text = tree.file(TABLE).map_or("", |file| &file.text);
    let section = text.split_once("\n## Dependencies").map_or("", |(_, rest)| rest);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let full = rows.filter(|row| row.split('|').filter(|cell| !cell.trim().is_empty()).count() >= 4);
    full.flat_map(|row| row.split('|').next().unwrap_or_default().split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\nserde = \"1\"\nzstd = \"0.13\"\ntransload = { path = \"host\" }\n";

    fn breaks(table: &str, manifest: &str) -> Vec<String> {
        let document = format!("# A\n\n## Dependencies\n\n{table}");
        let tree = Tree::of(&[("ARCHITECTURE.md", &document), ("Cargo.toml", ROOT), ("host/Cargo.toml", manifest)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_dependency_has_a_full_row_and_each_row_a_dependency() {
        let full = "| `serde` | MIT | forms | 5 |\n| `zstd` | BSD | small blocks | C |\n";
        assert_eq!(breaks(full, ""), [] as [&str; 0]);
        assert_eq!(breaks("| `serde`, `zstd` | MIT | forms | 5 |\n", ""), [] as [&str; 0]);
        assert!(breaks("| `serde` | MIT | forms | 5 |\n", "").remove(0).contains("zstd has no full row"));
        assert!(breaks("| `serde` | MIT | forms | 5 |\n| `zstd` | BSD | |\n", "").remove(0).contains("zstd has no full row"));
        assert!(breaks(&format!("{full}| `wat` | MIT | text | 3 |\n"), "").remove(0).contains("wat has a reason"));
    }

    #[test]
    fn a_crate_takes_its_dependencies_from_the_workspace() {
        let full = "| `serde`, `zstd` | MIT | forms | 5 |\n";
        assert_eq!(breaks(full, "[dependencies]\nserde.workspace = true\n[dev-dependencies]\nx = { path = \"../x\" }\n"), [] as [&str; 0]);
        assert_eq!(breaks(full, "[dependencies]\nleft-pad = \"1\"\n").len(), 1);
        assert_eq!(breaks(full, "[target.'cfg(unix)'.dependencies]\nleft-pad = \"1\"\n").len(), 1);
    }
}
