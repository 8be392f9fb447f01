use minisign::KeyPair;

use super::*;

const MANIFEST: &str = r#"
name = "echo"
kind = "sink"
version = "1"
wit = "0.1.0"
component = "echo.wasm"
sha256 = "00"
[[http]]
origin = "{config.url}"
methods = ["GET", "PUT"]
paths = ["/o"]
reason = "objects"
[[secret]]
name = "key"
origins = ["{config.url}"]
sign-chain = { steps-min = 2, prefix = "E" }
reason = "signs"
[limits]
memory = "32 MiB"
"#;

fn package(text: &str, signed_by: Option<&KeyPair>) -> Package {
    let signature = signed_by.map(|pair| minisign::sign(None, &pair.sk, text.as_bytes(), None, None).unwrap().to_string());
    Package { manifest: Manifest::parse(text).unwrap(), text: text.to_owned(), signature, component: Vec::new(), sha256: String::new() }
}

fn vendor(pair: &KeyPair) -> VendorKey {
    VendorKey::parse(&pair.pk.to_box().unwrap().to_string()).unwrap()
}

fn approved(pair: Option<&KeyPair>) -> Approval {
    Approval::of(&package(MANIFEST, None), pair.map(vendor).as_ref(), jiff::Timestamp::UNIX_EPOCH)
}

fn new_version() -> String {
    MANIFEST.replace("version = \"1\"", "version = \"2\"").replace("sha256 = \"00\"", "sha256 = \"01\"")
}

#[test]
fn the_very_same_manifest_needs_no_signature_and_any_other_does() {
    let (ours, another) = (KeyPair::generate_unencrypted_keypair().unwrap(), KeyPair::generate_unencrypted_keypair().unwrap());
    let changed = new_version();
    assert_eq!(approved(None).covers(&package(MANIFEST, None)), Ok(()));
    assert_eq!(approved(Some(&ours)).covers(&package(MANIFEST, None)), Ok(()));
    assert_eq!(approved(Some(&ours)).covers(&package(&changed, Some(&ours))), Ok(()));
    let other = "it is another version than the one that was approved, and ";
    let mut forged = package(&changed, Some(&ours));
    forged.text = forged.text.replace("version = \"2\"", "version = \"3\"");
    for (approval, package, why) in [
        (approved(None), package(&changed, Some(&ours)), "no vendor's key was pinned then"),
        (approved(Some(&ours)), package(&changed, None), "it is not signed"),
        (approved(Some(&ours)), package(&changed, Some(&another)), "it is signed with another key"),
        (approved(Some(&ours)), forged, "its signature is not one of these bytes: the manifest or the signature was changed"),
    ] {
        assert_eq!(approval.covers(&package).unwrap_err(), [format!("{other}{why}")]);
    }
    let mut garbled = package(&changed, Some(&ours));
    garbled.signature = Some("untrusted comment: x\nnothing".to_owned());
    assert_eq!(approved(Some(&ours)).covers(&garbled).unwrap_err(), [format!("{other}its signature is none of minisign's")]);
}

#[test]
fn a_signed_version_that_asks_for_more_waits_and_says_for_what() {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let cases = [
        (
            "methods = [\"GET\", \"PUT\"]",
            "methods = [\"GET\", \"DELETE\"]",
            "new: send GET and DELETE to the address in the setting url, below /o (objects)",
        ),
        (
            "paths = [\"/o\"]",
            "paths = [\"/o\", \"/p\"]",
            "new: send GET and PUT to the address in the setting url, below /o and /p (objects)",
        ),
        ("origin = \"{config.url}\"", "origin = \"https://x.test\"", "new: send GET and PUT to https://x.test, below /o (objects)"),
        (
            "steps-min = 2",
            "steps-min = 1",
            "new: send the secret \"key\" to the address in the setting url and have the secret \"key\" sign, in chains of at least 1 steps that begin with \"E\", without seeing it (signs)",
        ),
        (
            "\"32 MiB\"",
            "\"33 MiB\"",
            "new: use 33 MiB of memory in each of 8 instances and 1 min for a call, receive 8 MiB in a response, and look at 1 MiB of a disk in a call",
        ),
        ("name = \"echo\"", "name = \"other\"", "it is the plugin other, and echo was approved"),
        ("version = \"2\"", "version = \"0.9\"", "its version 0.9 is not known to be newer than 1, which was approved"),
        ("version = \"2\"", "version = \"2-beta\"", "its version 2-beta is not known to be newer than 1, which was approved"),
        ("kind = \"sink\"", "kind = \"source\"", "it was approved as a sink plugin, and is a source plugin now"),
    ];
    for (old, new, said) in cases {
        let asking = package(&new_version().replacen(old, new, 1), Some(&pair));
        assert_eq!(approved(Some(&pair)).covers(&asking).unwrap_err(), [said], "{new}");
    }
    for less in ["methods = [\"get\"]", "methods = [\"PUT\"]"] {
        let asking = package(&new_version().replace("methods = [\"GET\", \"PUT\"]", less), Some(&pair));
        assert_eq!(approved(Some(&pair)).covers(&asking), Ok(()), "{less}");
    }
}

/// A connection, a folder or a table that was not approved waits as an origin does.
#[test]
fn a_signed_version_that_reaches_further_by_other_ways_than_requests_waits_as_well() {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let manifest =
        |kind: &str, wishes: &str| MANIFEST.replace("\"sink\"", &format!("\"{kind}\"")).replace("[limits]", &format!("{wishes}[limits]"));
    let stream = "[[stream]]\nname = \"dns\"\nprotocol = \"tls\"\nendpoint = \"{config.server}:853\"\nreason = \"updates\"\n";
    let folder = "[[folder]]\nname = \"exports\"\npath = \"{config.exports}\"\nreason = \"disks\"\n";
    let table = "[netfilter]\ntable = \"transload_{config.table}\"\nreason = \"moves\"\n";
    let covers = |kind: &str, old: &str, new: &str| {
        let approval = Approval::of(&package(&manifest(kind, old), None), Some(&vendor(&pair)), jiff::Timestamp::UNIX_EPOCH);
        approval.covers(&package(&manifest(kind, new).replace("version = \"1\"", "version = \"2\""), Some(&pair)))
    };
    for (kind, wish, old, new) in [
        ("cutover", stream, "server}:853", "server}:53"),
        ("cutover", stream, "config.server", "config.other"),
        ("cutover", stream, "\"tls\"", "\"tcp\""),
        ("source", folder, "config.exports", "config.other"),
        ("cutover", table, "config.table", "config.other"),
    ] {
        for (before, after) in [("", wish.to_owned()), (wish, wish.replace(old, new))] {
            let more = covers(kind, before, &after).unwrap_err();
            assert!(more.len() == 1 && more[0].starts_with("new: "), "{more:?}");
        }
        assert_eq!(covers(kind, wish, &wish.replace("reason = \"", "reason = \"newer ")), Ok(()));
        assert_eq!(covers(kind, wish, ""), Ok(()));
    }
}

#[test]
fn what_was_approved_is_there_at_the_next_start_until_it_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let approvals = Approvals::at(&folder.path().join("approved"));
    let echo = package(MANIFEST, None);
    let waits = approvals.judge("echo", &echo).unwrap_err();
    assert_eq!(
        waits,
        ["it waits for approval: `transload plugin inspect echo` shows what it would reach, `transload plugin approve echo` lets it in"]
    );
    assert!(!approvals.withdraw("echo").unwrap());
    approvals.record("echo", &approved(None)).unwrap();
    assert_eq!(approvals.judge("echo", &echo), Ok(()));
    assert!(approvals.judge("other", &echo).is_err(), "an approval is for one folder");
    let changed = approvals.judge("echo", &package(&new_version(), None)).unwrap_err();
    assert_eq!(
        changed[1],
        "it waits for approval: `transload plugin inspect echo` shows this version, `transload plugin approve echo` lets it in"
    );
    assert!(approvals.withdraw("echo").unwrap());
    assert!(approvals.judge("echo", &echo).is_err());
    std::fs::write(folder.path().join("approved/echo.toml"), "approved-at = 7").unwrap();
    assert!(approvals.judge("echo", &echo).unwrap_err()[0].ends_with("approve it again"));
}
