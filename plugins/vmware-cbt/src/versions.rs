//! Which version of the API to speak: the highest that both sides know.

use transload_guest::fault::Fault;
use transload_guest::xml;

/// The newest version that this plugin was written for.
pub const NEWEST: &str = "8.0.3.0";

/// Reads /sdk/vimServiceVersions.xml.
pub fn choose(document: &[u8]) -> Result<String, Fault> {
    let document = xml::parse(document)?;
    let vim25 = document.children_named("namespace").find(|namespace| namespace.text_of("name") == Some("urn:vim25"));
    let vim25 = vim25.ok_or_else(|| Fault::unsupported("The server offers no urn:vim25 API: is it a vCenter or an ESXi host?"))?;
    let prior = vim25.child("priorVersions").map(|prior| prior.children_named("version").map(|version| version.text()).collect());
    let prior: Vec<&str> = prior.unwrap_or_default();
    let offered = vim25.text_of("version").into_iter().chain(prior).map(str::trim);
    let newest = numbers(NEWEST).unwrap_or_default();
    // Development versions have names without numbers; those are nobody's common ground.
    let known = offered.filter_map(|version| numbers(version).map(|numbers| (numbers, version)));
    let common = known.filter(|(numbers, _)| *numbers <= newest).max();
    common.map(|(_, version)| version.to_owned()).ok_or_else(|| {
        Fault::unsupported(format!("The server offers no version of its API up to {NEWEST}; this plugin knows none that is newer."))
    })
}

fn numbers(version: &str) -> Option<Vec<u32>> {
    // Rust's numbers may have a sign, versions may not: what is chosen goes into a header as it stands here.
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    version.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(version: &str, prior: &[&str]) -> Vec<u8> {
        let prior: String = prior.iter().map(|version| format!("<version>{version}</version>")).collect();
        format!(
            "<namespaces version=\"1.0\"><namespace><name>urn:vim2</name><version>99</version></namespace><namespace><name>urn:vim25</name>\
             <version>{version}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>"
        )
        .into_bytes()
    }

    #[test]
    fn the_highest_common_version_wins_by_number_not_by_text() {
        assert_eq!(choose(&offered("8.0.2.0", &["6.7.3", "6.5"])).unwrap(), "8.0.2.0");
        assert_eq!(choose(&offered("9.0.0.0", &["8.0.3.0", "8.0.10.0", "7.0"])).unwrap(), "8.0.3.0");
        assert_eq!(choose(&offered("10.0", &["6.5", "6.10"])).unwrap(), "6.10");
        assert_eq!(choose(&offered("dev", &["6.5"])).unwrap(), "6.5");
        assert_eq!(choose(&offered("+8.0", &["6.5"])).unwrap(), "6.5");
    }

    #[test]
    fn no_common_version_is_unsupported() {
        assert!(choose(&offered("9.0", &[])).unwrap_err().message.contains("8.0.3.0"));
        assert!(choose(b"<namespaces/>").unwrap_err().message.contains("vim25"));
    }
}
