//! The version that is chosen is one of numbers and not newer than what we know.

use vmware_cbt::versions::{NEWEST, choose};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let chosen = choose(bytes);
    if let Ok(version) = &chosen {
        assert!(version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{version:?}");
        assert!(numbers(version) <= numbers(NEWEST), "{version} is newer than {NEWEST}");
    }
    Outcome::of(&chosen)
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

pub fn examples() -> Vec<Vec<u8>> {
    let document = "<namespaces version=\"1.0\"><namespace><name>urn:vim25</name><version>9.0.0.0</version><priorVersions><version>8.0.2.0</version><version>6.5</version></priorVersions></namespace></namespaces>";
    vec![document.into()]
}
