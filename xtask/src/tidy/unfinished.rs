//! Work left for later belongs into an issue, where somebody sees it.

use super::{Break, Tree};

/// Written in two halves, because this file is checked as well.
const MARKS: &[(&str, &str)] = &[
    (concat!("todo", "!"), "panics where a feature should be"),
    (concat!("unimplemented", "!"), "panics where a feature should be"),
    (concat!("dbg", "!"), "prints past the log, and may print a secret"),
    (concat!("FIX", "ME"), "is a bug that is known and shipped"),
];

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    let sources = [".rs", ".wit", ".go", ".py", ".toml"];
    for file in tree.files.iter().filter(|file| sources.iter().any(|extension| file.path.ends_with(extension))) {
        for (number, line) in file.lines() {
            for (mark, why) in MARKS.iter().filter(|(mark, _)| line.contains(mark)) {
                breaks.push(Break { place: file.at(number), what: format!("{mark} {why}") });
            }
        }
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_found_with_its_line() {
        for (mark, _) in MARKS {
            let found = check(&Tree::of(&[("host/src/a.rs", &format!("fn f() {{\n    {mark}(1)\n}}\n"))]));
            assert_eq!(found.iter().map(|found| found.place.as_str()).collect::<Vec<_>>(), ["host/src/a.rs:2"], "{mark}");
        }
        assert_eq!(check(&Tree::of(&[("host/src/a.rs", "fn f() { done() }\n")])), []);
    }
}
