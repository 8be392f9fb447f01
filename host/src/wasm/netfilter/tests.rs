//! Against the real `nft`, in a network namespace that ends with the test.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::model::FaultKind;

/// A network of its own, held open by a process, and `nft` in it.
struct Namespace {
    holder: Child,
    folder: tempfile::TempDir,
}

impl Namespace {
    /// None, and said so, where this machine cannot make one.
    fn make() -> Option<Namespace> {
        let Ok(nft) = nft::find() else {
            println!("SKIPPED: nft is not installed (Debian: nftables)");
            return None;
        };
        let holding = Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut holder = holding.expect("unshare is part of every Linux");
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{}/ns/net", holder.id())).is_ok_and(|net| net == own) {
            if holder.try_wait().unwrap().is_some() {
                println!("SKIPPED: a network namespace needs more rights than this user has");
                return None;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("nft");
        let script = format!("#!/bin/sh\nexec /usr/bin/nsenter --net=/proc/{}/ns/net {} \"$@\"\n", holder.id(), nft.display());
        std::fs::write(&inside, script).unwrap();
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(Namespace { holder, folder })
    }

    fn table(&self, name: &str) -> Table {
        Table { name: name.to_owned(), nft: self.folder.path().join("nft") }
    }

    /// Somebody else's rules, and a look at all of them.
    fn nft(&self, arguments: &[&str]) -> String {
        let ran = Command::new(self.folder.path().join("nft")).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _gone = self.holder.kill().and_then(|()| self.holder.wait());
    }
}

fn ruleset(commands: Value) -> String {
    json!({"nftables": commands}).to_string()
}

#[tokio::test]
async fn mishaps_of_a_trial_befall_tables_as_well() {
    let Some(namespace) = Namespace::make() else { return };
    let table = namespace.table("transload_trial");
    let chain = ruleset(json!([{"add": {"chain": {"family": "inet", "table": "transload_trial", "name": "moved"}}}]));
    for (mishap, is_done) in [(Mishap::Lost, false), (Mishap::Busy, false), (Mishap::Unanswered, true), (Mishap::Cut, true)] {
        let fault = table.apply_on(Some(mishap), &chain).await.unwrap_err();
        assert!(fault.kind == FaultKind::Unavailable && fault.message.ends_with(": for this trial"), "{fault}");
        assert_eq!(table.rules(1 << 20).await.unwrap().contains("moved"), is_done, "{mishap:?}");
    }
    assert_eq!(table.apply_on(None, &chain).await, Ok(1));
}

fn chain(name: &str) -> Value {
    json!({"add": {"chain": {"family": "inet", "table": "transload_nat", "name": name}}})
}

async fn rules(table: &Table) -> String {
    table.rules(1 << 20).await.unwrap()
}

#[tokio::test]
async fn a_ruleset_of_a_cutover_is_taken_and_its_counters_can_be_read() {
    let Some(namespace) = Namespace::make() else { return };
    let table = namespace.table("transload_nat");
    assert_eq!(rules(&table).await, "{\"nftables\":[]}");
    assert!(table.apply(&ruleset(ruleset::tests::moved_address())).await.unwrap() > 10);
    let listed: Value = serde_json::from_str(&rules(&table).await).unwrap();
    let counters: Vec<&Value> = listed["nftables"].as_array().unwrap().iter().filter_map(|each| each.get("counter")).collect();
    assert_eq!((counters.len(), &counters[0]["name"], &counters[0]["packets"]), (1, &json!("moved"), &json!(0)));
    // What is listed is taken as it is: an undo that kept it brings it back, and it lists the same again.
    table.apply(&ruleset(json!([]))).await.unwrap();
    table.apply(&listed.to_string()).await.unwrap();
    let again: Value = serde_json::from_str(&rules(&table).await).unwrap();
    assert_eq!(without_numbers(again), without_numbers(listed));
}

fn without_numbers(listed: Value) -> Vec<Value> {
    let mut objects = listed["nftables"].as_array().unwrap().clone();
    objects.iter_mut().flat_map(|object| object.as_object_mut().unwrap().values_mut()).for_each(|inner| {
        inner.as_object_mut().unwrap().remove("handle");
    });
    objects
}

#[tokio::test]
async fn each_apply_replaces_the_whole_table_and_no_other() {
    let Some(namespace) = Namespace::make() else { return };
    namespace.nft(&["add", "table", "inet", "site"]);
    namespace.nft(&["add", "chain", "inet", "site", "guard"]);
    let table = namespace.table("transload_nat");
    table.apply(&ruleset(json!([chain("first")]))).await.unwrap();
    table.apply(&ruleset(json!([chain("second")]))).await.unwrap();
    let now = rules(&table).await;
    assert!(now.contains("second") && !now.contains("first") && !now.contains("guard"), "{now}");
    let all = namespace.nft(&["list", "ruleset"]);
    assert!(all.contains("table inet site") && all.contains("chain guard"), "{all}");
    let gone = json!([{"delete": {"table": {"family": "inet", "name": "transload_nat"}}}]);
    table.apply(&ruleset(gone)).await.unwrap();
    assert_eq!(namespace.nft(&["list", "tables"]).trim(), "table inet site");
}

#[tokio::test]
async fn a_ruleset_that_nft_refuses_leaves_the_table_as_it_was() {
    let Some(namespace) = Namespace::make() else { return };
    let table = namespace.table("transload_nat");
    table.apply(&ruleset(json!([chain("first")]))).await.unwrap();
    let to = |target: &str| json!({"add": {"rule": {"family": "inet", "table": "transload_nat", "chain": "c", "expr": [{"jump": {"target": target}}]}}});
    // A chain of another table cannot be jumped to: names are looked up in the own table only.
    namespace.nft(&["add", "table", "inet", "site"]);
    namespace.nft(&["add", "chain", "inet", "site", "guard"]);
    let fault = table.apply(&ruleset(json!([chain("c"), to("guard")]))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound, "{fault}");
    // Two of one name.
    let create = || json!({"create": {"chain": {"family": "inet", "table": "transload_nat", "name": "c"}}});
    let fault = table.apply(&ruleset(json!([create(), create()]))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Invalid, "{fault}");
    assert!(fault.message.starts_with("nft refuses the ruleset, and the table transload_nat is as it was: "), "{fault}");
    // Rules that lead to each other without end never come to nft.
    let fault = table.apply(&ruleset(json!([chain("c"), to("c")]))).await.unwrap_err();
    assert_eq!(fault, Fault::denied("its chains lead to each other over more than 16 jumps"));
    // A set that the kernel would have to find gigabytes for, and a number that nft's reader of JSON does not know.
    let set =
        |size: u64| json!({"add": {"set": {"family": "inet", "table": "transload_nat", "name": "s", "type": "ipv4_addr", "size": size}}});
    for (size, kind) in [(67_108_864, FaultKind::Denied), (u64::MAX, FaultKind::Denied)] {
        assert_eq!(table.apply(&ruleset(json!([set(size)]))).await.unwrap_err().kind, kind);
    }
    let timeout =
        json!({"add": {"set": {"family": "inet", "table": "transload_nat", "name": "s", "type": "ipv4_addr", "timeout": u64::MAX}}});
    assert_eq!(table.apply(&ruleset(json!([timeout]))).await.unwrap_err().kind, FaultKind::Denied);
    let many: Vec<Value> = (0..65).map(|_| set(1)).collect();
    assert_eq!(
        table.apply(&ruleset(json!(many))).await.unwrap_err(),
        Fault::denied("a ruleset has at most 64 commands about sets and maps")
    );
    let now = rules(&table).await;
    assert!(now.contains("first") && !now.contains("\"c\""), "{now}");
}

#[tokio::test]
async fn what_is_outside_of_the_table_is_denied_before_nft_is_asked() {
    let table = Table { name: "transload_nat".to_owned(), nft: "/nowhere/at/all".into() };
    let fault = table.apply(&ruleset(json!([chain("c"), {"flush": {"ruleset": null}}]))).await.unwrap_err();
    assert_eq!(fault, Fault::denied("command 2 of the ruleset (flush ruleset) is not granted: it is about all tables of this machine"));
    assert_eq!(table.apply(&ruleset(json!([chain("c")]))).await.unwrap_err().kind, FaultKind::Unavailable);
}

#[tokio::test]
async fn a_listing_longer_than_granted_is_denied() {
    let Some(namespace) = Namespace::make() else { return };
    let table = namespace.table("transload_nat");
    let chains: Vec<Value> = (0..50).map(|number| chain(&format!("chain-{number}"))).collect();
    table.apply(&ruleset(json!(chains))).await.unwrap();
    assert_eq!(
        table.rules(1000).await.unwrap_err(),
        Fault::denied("the table transload_nat takes more than the 1000 bytes that are granted")
    );
}

#[tokio::test]
async fn without_the_right_the_remedy_is_said() {
    let Ok(nft) = nft::find() else { return println!("SKIPPED: nft is not installed (Debian: nftables)") };
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("nft");
    // A user namespace of its own, whose root has no right over the network that it sees.
    std::fs::write(&inside, format!("#!/bin/sh\nexec /usr/bin/unshare --user {} \"$@\"\n", nft.display())).unwrap();
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o755)).unwrap();
    let table = Table { name: "transload_nat".to_owned(), nft: inside };
    let fault = table.apply(&ruleset(json!([]))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert!(fault.message.contains("CAP_NET_ADMIN"), "{fault}");
}
