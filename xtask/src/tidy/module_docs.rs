//! The first line of a file says what the file is.

use super::{Break, Tree};

/// Where every file has to; tests open with their own first sentence, the name of the test.
const FOLDERS: &[&str] = &["host/src/", "lab/src/", "sim/src/", "bench/src/", "demo/src/", "xtask/src/", "plugins/"];

pub fn check(tree: &Tree) -> Vec<Break> {
    let sources = FOLDERS.iter().flat_map(|folder| tree.under(folder, ".rs"));
    let tests = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let silent = sources.filter(|file| !tests(&file.path) && !file.text.starts_with("//! "));
    silent.map(|file| Break { place: file.path.clone(), what: "begins without a `//!` line that says what it is".to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_first_line_is_found_and_tests_are_not_asked() {
        let tree = Tree::of(&[
            ("host/src/a.rs", "//! What it is.\n"),
            ("host/src/b.rs", "use std::fs;\n"),
            ("host/src/c/tests.rs", "use super::*;\n"),
        ]);
        assert_eq!(check(&tree).iter().map(|found| found.place.as_str()).collect::<Vec<_>>(), ["host/src/b.rs"]);
    }
}
