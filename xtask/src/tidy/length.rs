//! One file, one idea.

use super::{Break, Tree};

const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason. A file that has become short again must leave the list.
const LONGER: &[(&str, &str)] = &[];

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = against(tree, LONGER);
    for (path, _) in LONGER {
        let short = tree.file(path).is_none_or(|file| file.lines().count() <= LINES_MAX);
        if short {
            breaks.push(Break { place: (*path).to_owned(), what: "needs no exception any more; take it off the list".to_owned() });
        }
    }
    breaks
}

fn against(tree: &Tree, longer: &[(&str, &str)]) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.under("", ".rs").filter(|file| !longer.iter().any(|(path, _)| *path == file.path)) {
        let lines = file.lines().count();
        if lines > LINES_MAX {
            let what = format!("has {lines} lines, more than {LINES_MAX}; divide it, or give its reason in xtask/src/tidy/length.rs");
            breaks.push(Break { place: file.path.clone(), what });
        }
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_breaks_unless_it_has_a_reason() {
        let tree = Tree::of(&[("host/src/a.rs", &"\n".repeat(601)), ("host/src/b.rs", &"\n".repeat(600))]);
        assert_eq!(against(&tree, &[]).len(), 1);
        assert_eq!(against(&tree, &[("host/src/a.rs", "a table")]), []);
    }
}
