//! The contract is read by people who have nothing else: each interface and each function in it says what it does.

use super::{Break, Tree};

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.under("wit/", ".wit") {
        let mut documented = false;
        for (number, line) in file.lines() {
            let line = line.trim();
            if line.starts_with("///") {
                documented = true;
            } else if line.starts_with('@') {
                // An attribute stands between a declaration and its words.
            } else {
                if !documented && let Some(name) = declared(line) {
                    breaks.push(Break { place: file.at(number), what: format!("{name} has no `///` above it") });
                }
                documented = false;
            }
        }
    }
    breaks
}

/// What this line declares, if it is something that needs words.
fn declared(line: &str) -> Option<&str> {
    if line.starts_with("//") {
        return None;
    }
    let function = line.split_once(": ").filter(|(_, kind)| {
        let kind = kind.trim_start_matches("static ").trim_start_matches("async ");
        kind.starts_with("func(") || kind.starts_with("func (")
    });
    let kinds = ["interface ", "world ", "resource ", "constructor("];
    function.map(|(name, _)| name).or_else(|| kinds.iter().any(|kind| line.starts_with(kind)).then_some(line.trim_end_matches(" {")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_words_is_found() {
        let text = "/// Bytes.\ninterface bulk {\n    /// How many.\n    length: func() -> u64;\n    peek: func(offset: u64) -> u64;\n}\n";
        let found = check(&Tree::of(&[("wit/bulk.wit", text)]));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["wit/bulk.wit:5: peek has no `///` above it"]);
    }

    #[test]
    fn an_attribute_may_stand_between() {
        let text = "/// Bytes.\n@since(version = 0.1.0)\ninterface bulk {\n    // length: func()\n}\n";
        assert_eq!(check(&Tree::of(&[("wit/bulk.wit", text)])), []);
    }
}
