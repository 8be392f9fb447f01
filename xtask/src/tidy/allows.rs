//! A silenced lint says why it is wrong here.

use syn::visit::{self, Visit};

use super::{Break, Tree};

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.under("", ".rs") {
        let Ok(syntax) = syn::parse_file(&file.text) else { continue };
        let mut allows = Allows { silent: Vec::new() };
        allows.visit_file(&syntax);
        breaks.extend(
            allows
                .silent
                .into_iter()
                .map(|line| Break { place: file.at(line), what: "silences a lint without `reason = \"…\"`".to_owned() }),
        );
    }
    breaks
}

struct Allows {
    silent: Vec<usize>,
}

impl<'ast> Visit<'ast> for Allows {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let silences = attribute.path().is_ident("allow") || attribute.path().is_ident("expect");
        if silences && let syn::Meta::List(list) = &attribute.meta {
            let gives_reason = list.tokens.clone().into_iter().any(|token| token.to_string() == "reason");
            if !gives_reason {
                self.silent.push(attribute.pound_token.span.start().line);
            }
        }
        visit::visit_attribute(self, attribute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_needs_a_reason() {
        let text = "#[allow(dead_code)]\nfn f() {}\n#[allow(dead_code, reason = \"called by C\")]\nfn g() {}\n";
        let found = check(&Tree::of(&[("host/src/a.rs", text)]));
        assert_eq!(found.iter().map(|found| found.place.as_str()).collect::<Vec<_>>(), ["host/src/a.rs:1"]);
    }
}
