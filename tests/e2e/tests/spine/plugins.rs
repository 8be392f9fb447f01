//! Plugins run as they were approved, and in no other way.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::agent::Said;
use e2e::azurite::Azurite;
use e2e::weed::Weed;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use minisign::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A site whose agent has plugins of its own, and has approved none of them.
async fn unapproved() -> (Site, Setup, PathBuf) {
    let site = Site::with(vec![VmSpec::new("db01", vec![DiskSpec::with_files(12 * MIB, 1_000_000)])]).await;
    let (setup, plugins) = with_own_plugins(&site);
    (site, setup, plugins)
}

fn with_own_plugins(site: &Site) -> (Setup, PathBuf) {
    let setup = site.setup(&["db01"]);
    let plugins = setup.folder.join("plugins");
    for name in ["storage-s3", "vmware-cbt"] {
        std::fs::create_dir_all(plugins.join(name)).unwrap();
        for file in ["manifest.toml".to_owned(), format!("{name}.wasm")] {
            std::fs::copy(parts::plugins().join(name).join(&file), plugins.join(name).join(&file)).unwrap();
        }
    }
    std::fs::create_dir_all(setup.state().join("approved")).unwrap();
    let whole = setup.text().replace(&format!("{}", parts::plugins().display()), &plugins.display().to_string());
    let setup = Setup { whole: Some(whole), ..setup };
    setup.write();
    (setup, plugins)
}

fn edit(plugin: &Path, from: &str, to: &str) {
    let manifest = plugin.join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(manifest, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_runs_only_as_it_was_approved() {
    let (site, setup, plugins) = unapproved().await;
    let refused = Agent::refused(&setup).await;
    assert!(refused.contains("transload plugin approve storage-s3` lets it in"), "{refused}");
    let failed = setup.check().failed_steps();
    assert!(failed.iter().any(|step| step.contains("plugin approve storage-s3")), "{failed:?}");

    let shown = setup.run(&["plugin", "inspect", "storage-s3"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("- send GET, HEAD, PUT and POST to the address in the setting endpoint, below /"), "{shown:?}");
    let waiting = setup.run(&["plugin", "list", "--json"]).json();
    assert!(
        waiting.as_array().unwrap().iter().all(|found| found["waits"][0].as_str().unwrap().contains("waits for approval")),
        "{waiting}"
    );

    let approved = setup.run(&["plugin", "approve"]);
    assert_eq!((approved.code, approved.out.matches("Approved.").count()), (0, 2), "{approved:?}");
    assert_eq!(setup.run(&["plugin", "verify", "storage-s3"]).code, 0);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    agent.kill();
    let kept = std::fs::read_dir(setup.state().join("code")).unwrap().count();
    assert_eq!(kept, 3, "the key, and the code of two plugins");

    // The vendor's new version asks for more. It is signed by nobody who was pinned.
    edit(&plugins.join("storage-s3"), "version = \"0.1.0\"", "version = \"0.1.1\"");
    let refused = Agent::refused(&setup).await;
    assert!(refused.contains("another version than the one that was approved, and no vendor's key was pinned then"), "{refused}");
    let verified = setup.run(&["plugin", "verify", "storage-s3"]);
    assert_eq!(verified.code, 3, "{verified:?}");
    assert_eq!(setup.run(&["plugin", "approve", "storage-s3"]).code, 0);
    Agent::start(&setup).await.kill();

    assert_eq!(setup.run(&["plugin", "remove", "storage-s3"]).code, 0);
    assert!(Agent::refused(&setup).await.contains("waits for approval"));
    site.assert_no_snapshot();
}

/// A release of a vendor: the manifest as it lies there, signed.
fn sign(plugin: &Path, pair: &KeyPair) {
    let manifest = std::fs::read(plugin.join("manifest.toml")).unwrap();
    let signature = minisign::sign(None, &pair.sk, manifest.as_slice(), None, None).unwrap();
    std::fs::write(plugin.join("manifest.toml.minisig"), signature.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_vendor_may_update_and_may_not_ask_for_more() {
    let (_site, setup, plugins) = unapproved().await;
    let (vendor, stranger) = (KeyPair::generate_unencrypted_keypair().unwrap(), KeyPair::generate_unencrypted_keypair().unwrap());
    let key = setup.folder.join("vendor.pub");
    std::fs::write(&key, vendor.pk.to_box().unwrap().to_string()).unwrap();
    let (s3, key) = (plugins.join("storage-s3"), key.to_str().unwrap());
    let approve = |key: &str| setup.run(&["plugin", "approve", "storage-s3", "--key", key]);
    assert_eq!(setup.run(&["plugin", "approve", "vmware-cbt"]).code, 0);

    let unsigned = approve(key);
    assert!(unsigned.code == 1 && unsigned.err.contains("it is not signed"), "{unsigned:?}");
    sign(&s3, &stranger);
    let foreign = approve(key);
    assert!(foreign.code == 1 && foreign.err.contains("it is signed with another key"), "{foreign:?}");
    assert!(approve("/nowhere").err.contains("/nowhere: "));
    sign(&s3, &vendor);
    assert_eq!(approve(key).code, 0);
    assert!(setup.run(&["plugin", "verify", "storage-s3"]).out.contains("it is signed by the vendor"));

    // A newer version that asks for no more starts as it is; an unsigned one and one that asks for more wait.
    edit(&s3, "version = \"0.1.0\"", "version = \"0.1.1\"");
    assert!(Agent::refused(&setup).await.contains("the manifest or the signature was changed"));
    sign(&s3, &vendor);
    Agent::start(&setup).await.kill();
    edit(&s3, "version = \"0.1.1\"", "version = \"0.1.2\"");
    edit(&s3, "methods = [\"GET\", ", "methods = [\"GET\", \"DELETE\", ");
    sign(&s3, &vendor);
    let refused = Agent::refused(&setup).await;
    assert!(refused.contains("new: send GET, DELETE, HEAD, PUT and POST to the address in the setting endpoint"), "{refused}");
}

/// What the running agent says of the store's plugin, as soon as it says this.
async fn store_plugin(setup: &Setup, what: &str, question: impl Fn(&Value) -> bool) -> Value {
    in_use(setup, "storage-s3", what, question).await
}

/// The same of any plugin.
async fn in_use(setup: &Setup, plugin: &str, what: &str, question: impl Fn(&Value) -> bool) -> Value {
    let listed = || setup.run(&["plugin", "list", "--json"]).json();
    for _ in 0..120 {
        let all = listed();
        let found = all.as_array().unwrap().iter().find(|found| found["name"] == plugin).unwrap();
        if question(&found["running"][0]) {
            return found["running"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("never {what}: {:#}", listed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_while_the_agent_runs_and_a_broken_one_disturbs_nothing() {
    let (site, setup, plugins) = unapproved().await;
    let s3 = plugins.join("storage-s3");
    assert_eq!(setup.run(&["plugin", "approve"]).code, 0);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let before = store_plugin(&setup, "in use", |running| running["version"] == "0.1.0").await;
    assert!(before["calls"].as_u64() > Some(0) && before["spliced"].as_u64() > Some(300_000), "{before}");
    assert!(before["memory_peak"].as_u64() > Some(64 << 10), "{before}");
    assert_eq!((&before["traps"], &before["time_outs"], &before["peeked"]), (&json!(0), &json!(0), &json!(0)), "{before}");
    assert!(before["key"].is_null() && before["grants"][0].as_str().unwrap().starts_with("send GET, HEAD, PUT and POST"), "{before}");
    let metrics = setup.run(&["metrics"]).out;
    assert!(metrics.contains("transload_plugin_info{name=\"store\",plugin=\"storage-s3\",version=\"0.1.0\",key=\"\"} 1"), "{metrics}");
    assert!(metrics.contains("transload_plugin_calls_total{name=\"store\",plugin=\"storage-s3\"} "), "{metrics}");
    let listed = setup.run(&["plugin", "list"]).out;
    assert!(listed.contains("  - send GET, HEAD, PUT and POST to the address in the setting endpoint"), "{listed}");

    edit(&s3, "version = \"0.1.0\"", "version = \"0.1.1\"");
    let waits = store_plugin(&setup, "refused", |running| !running["refused"].is_null()).await;
    assert!(waits["refused"].as_str().unwrap().contains("another version than the one that was approved"), "{waits}");
    assert_eq!(waits["version"], "0.1.0", "the version that was approved runs on");
    agent.sync("db01").await;

    assert_eq!(setup.run(&["plugin", "approve", "storage-s3"]).code, 0);
    let after = store_plugin(&setup, "taken over", |running| running["version"] == "0.1.1").await;
    assert!(after["refused"].is_null() && after["calls"].as_u64() > before["calls"].as_u64(), "{after}");
    site.guest_writes("db01", Workload::EveryOtherSector { start: 2 * MIB, sectors: 50 }, 7).await;
    agent.sync("db01").await;

    std::fs::write(s3.join("storage-s3.wasm"), b"half of it").unwrap();
    let broken = store_plugin(&setup, "broken", |running| !running["refused"].is_null()).await;
    assert!(broken["refused"].as_str().unwrap().contains("is not the component that the manifest was written for"), "{broken}");
    let told = setup.run(&["status"]).out;
    assert!(told.contains("! store runs on with storage-s3 0.1.1; what lies in its folder now may not: "), "{told}");
    agent.sync("db01").await;
    site.assert_no_snapshot();
}

/// Two sources; one of them has a plugin that nobody approved, later one that is broken, and then one that may run.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_may_not_run_keeps_no_other_from_replicating_and_runs_as_soon_as_it_may() {
    let vm = |name| VmSpec::new(name, vec![DiskSpec::with_files(12 * MIB, 1_000_000)]);
    let site = Site::with(vec![vm("db01"), vm("app01")]).await;
    let (setup, plugins) = with_own_plugins(&site);
    let spare = plugins.join("spare");
    std::fs::create_dir_all(&spare).unwrap();
    for file in ["manifest.toml", "vmware-cbt.wasm"] {
        std::fs::copy(plugins.join("vmware-cbt").join(file), spare.join(file)).unwrap();
    }
    let second = setup.source.replace("name = \"vc1\"", "name = \"vc2\"").replace("plugin = \"vmware-cbt\"", "plugin = \"spare\"");
    let wanted = "[[vm]]\nname = \"db01\"\nsource = \"vc1\"\n[[vm]]\nname = \"app01\"\nsource = \"vc2\"\n";
    let whole = setup.text().replace("vms = [\"db01\"]", "");
    let setup = Setup { whole: Some(format!("{whole}{second}{wanted}")), ..setup };
    setup.write();
    assert_eq!(setup.run(&["plugin", "approve", "storage-s3", "vmware-cbt"]).code, 0);

    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let told = setup.run(&["status"]).out;
    assert!(told.contains("! vc2 waits for its plugin, which may not run: it waits for approval: "), "{told}");
    assert!(told.contains("app01: the plugin of vc2 may not run: it waits for approval: "), "{told}");
    assert!(std::fs::read_to_string(setup.log()).unwrap().contains("the plugin may not run, and waits until it may; the others go on"));
    let failed = setup.run(&["check", "--json"]).failed_steps();
    assert!(failed.len() == 1 && failed[0].contains("plugin approve spare"), "a check is where all of it must work: {failed:?}");

    std::fs::write(spare.join("vmware-cbt.wasm"), b"half of it").unwrap();
    let is_broken = |running: &Value| {
        running["refused"].as_str().is_some_and(|why| why.contains("is not the component that the manifest was written for"))
    };
    assert!(in_use(&setup, "spare", "broken", is_broken).await["version"].is_null());
    agent.sync("db01").await;

    std::fs::copy(plugins.join("vmware-cbt/vmware-cbt.wasm"), spare.join("vmware-cbt.wasm")).unwrap();
    assert_eq!(setup.run(&["plugin", "approve", "spare"]).code, 0);
    in_use(&setup, "spare", "in use", |running| running["version"] == "0.1.0" && running["refused"].is_null()).await;
    agent.settled("app01", 2).await;
    agent.kill();

    // Where none of them may run, whoever starts the agent is told at once.
    assert_eq!(setup.run(&["plugin", "remove", "spare"]).code, 0);
    assert_eq!(setup.run(&["plugin", "remove", "vmware-cbt"]).code, 0);
    assert!(Agent::refused(&setup).await.contains("plugin vc1 is refused; none of its code was run"));
    site.assert_no_snapshot();
}

/// The bad ones come first, and are asked again and again; each ends in its own named fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_vm_replicates_undisturbed_beside_sources_that_loop_hoard_trap_and_never_start() {
    let Some(misbehaving) = parts::foreign("TRANSLOAD_TEST_PLUGINS") else { return };
    let site = Site::with(vec![VmSpec::new("db01", vec![DiskSpec::with_files(12 * MIB, 1_000_000)])]).await;
    let (setup, plugins) = with_own_plugins(&site);
    std::fs::create_dir_all(plugins.join("misbehaving")).unwrap();
    for file in ["manifest.toml", "misbehaving.wasm"] {
        std::fs::copy(misbehaving.join("misbehaving").join(file), plugins.join("misbehaving").join(file)).unwrap();
    }
    let bad = [
        ("loops", "in-inventory loop", "plugin loops did not answer inventory in time"),
        ("recurses", "in-inventory recursion", "plugin recurses failed in inventory: wasm trap: call stack exhausted"),
        ("hoards", "in-inventory hoard", "plugin hoards failed in inventory: it needs more than its 16 MiB of memory"),
        ("traps", "in-inventory abort", "plugin traps failed in inventory: wasm trap: wasm `unreachable` instruction executed"),
        ("starts-not", "loop-at-start", "plugin starts-not did not start in time"),
    ];
    let (exports, mut text, mut wanted) = (site.folder().display(), setup.source.clone(), String::new());
    for (name, misdeed, _) in bad {
        text += &format!(
            "[[source]]\nname = \"{name}\"\nplugin = \"misbehaving\"\n\
             config = {{ url = \"https://nowhere.invalid\", exports = \"{exports}\", misdeed = \"{misdeed}\" }}\n"
        );
        wanted += &format!("[[vm]]\nname = \"vm-of-{name}\"\nsource = \"{name}\"\n");
    }
    wanted += "[[vm]]\nname = \"db01\"\nsource = \"vc1\"\n";
    let whole = setup.text().replace("vms = [\"db01\"]", "").replace(&setup.source, &text);
    let setup = Setup { whole: Some(format!("{whole}{wanted}")), ..setup };
    setup.write();
    assert_eq!(setup.run(&["plugin", "approve"]).code, 0);

    let agent = Agent::start(&setup).await;
    let begun = tokio::time::Instant::now();
    agent.settled("db01", 2).await;
    println!("two cycles of db01 took {:?}", begun.elapsed());
    let mut rounds = 0;
    let missing = loop {
        site.guest_writes("db01", Workload::Scattered { writes: 8, bytes: 4096 }, rounds).await;
        agent.sync("db01").await;
        rounds += 1;
        let missing = agent.status()["missing"].clone();
        if missing.as_array().unwrap().len() == bad.len() {
            break missing.to_string();
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "{missing:#}");
    };
    println!("{rounds} more cycles of db01 until the last of them was given up");
    for (name, _, fault) in bad {
        assert!(missing.contains(&format!("vm-of-{name}: {fault}")), "{name}: {missing}");
    }
    assert_eq!(agent.trouble("db01"), None);
    let point = agent.newest("db01");
    site.assert_replica(&agent, "db01", point).await;
    site.assert_no_snapshot();
}

/// An agent that is no root can do nothing with a folder that root made for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_approves_as_root_before_the_first_start_is_told_whose_the_state_is_then() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return parts::skip("only root makes folders that others cannot use");
    }
    let site = Site::empty().await;
    let setup = site.setup(&["db01"]);
    std::fs::create_dir_all(&setup.folder).unwrap();
    std::fs::write(setup.config(), setup.text()).unwrap();
    let (state, approve) = (setup.state(), || setup.run(&["plugin", "approve"]));
    let note = format!("note: the folder {} was made just now, and belongs to root.", state.display());
    let first = approve();
    assert!(first.code == 0 && first.err.contains(&note), "{first:?}");
    assert!(first.err.contains(&format!("chown -R USER {}", state.display())), "{first:?}");
    assert!(!approve().err.contains("note:"));

    // All but the state is the other user's: secrets, key, configuration.
    for folder in [site.folder(), &setup.folder] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            std::os::unix::fs::chown(file, Some(65_534), Some(65_534)).unwrap();
        }
    }
    let mut other = Command::new(parts::agent());
    other.uid(65_534).gid(65_534).arg("--config").arg(setup.config()).arg("run");
    let refused = Said::from(parts::waiting(|| other.output()).unwrap());
    let whose = format!("{} belongs to user 0, and this program runs as user 65534", state.display());
    assert!(refused.code == 1 && refused.err.contains(&whose), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_plugin_is_said_to_be_broken_and_disturbs_no_other() {
    let (_site, setup, plugins) = unapproved().await;
    let component = plugins.join("storage-s3/storage-s3.wasm");
    let half = std::fs::read(&component).unwrap();
    std::fs::write(&component, &half[..half.len() / 2]).unwrap();
    std::fs::create_dir_all(plugins.join("empty")).unwrap();
    let listed = setup.run(&["plugin", "list", "--json"]).json();
    let waits = |name: &str| {
        let found = listed.as_array().unwrap().iter().find(|found| found["name"] == name).unwrap();
        found["waits"][0].as_str().unwrap().to_owned()
    };
    assert!(waits("storage-s3").contains("is not the component that the manifest was written for"), "{listed}");
    assert!(waits("empty").contains("manifest.toml cannot be read"), "{listed}");
    let approved = setup.run(&["plugin", "approve"]);
    assert_eq!(approved.code, 1);
    assert!(approved.err.contains("storage-s3 is not approved: "), "{approved:?}");
    assert_eq!(setup.run(&["plugin", "verify", "vmware-cbt"]).code, 0, "the other one was approved all the same");

    // A component that is whole, and no component.
    std::fs::write(&component, b"\0asm\x0d\0\x01\0 and so on").unwrap();
    let digest = "sha256 = \"";
    let text = std::fs::read_to_string(plugins.join("storage-s3/manifest.toml")).unwrap();
    let old = text.lines().find(|line| line.starts_with(digest)).unwrap();
    let new: String = Sha256::digest(std::fs::read(&component).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    edit(&plugins.join("storage-s3"), old, &format!("{digest}{new}\""));
    let shown = setup.run(&["plugin", "inspect", "storage-s3"]);
    assert!(shown.out.contains("! it cannot be run: its component is no WebAssembly component"), "{shown:?}");
    let approved = setup.run(&["plugin", "approve", "storage-s3"]);
    assert!(approved.code == 1 && approved.err.contains("is no WebAssembly component that this host can run"), "{approved:?}");
    for name in ["../storage-s3", "", "Storage"] {
        assert_eq!(setup.run(&["plugin", "approve", name]).code, 1, "{name}");
        assert_eq!(setup.run(&["plugin", "remove", name]).code, 2, "{name}");
    }
}

/// The conformance kit, on servers that others wrote. The lab's knows no key of more than some 150 bytes.
#[tokio::test(flavor = "multi_thread")]
async fn the_sinks_of_this_repository_hold_every_claim() {
    let site = Site::with(vec![VmSpec::new("db01", vec![DiskSpec::with_files(12 * MIB, 1_000_000)])]).await;
    if let Some(weed) = Weed::start(site.folder()).await {
        holds_every_claim(&weed.setup(&site, &weed.tls, "tls", &["db01"]));
    }
    if let Some(azurite) = Azurite::start(site.folder()) {
        holds_every_claim(&azurite.setup(&site, &["db01"]));
    }
}

/// Each account has endpoints and a key of its own, and is one sink. What is written at one address of an account is there at the others.
#[tokio::test(flavor = "multi_thread")]
async fn storage_accounts_of_azure_are_several_endpoints_each_with_a_key_of_its_own() {
    let site = Site::empty().await;
    let Some(azurite) = Azurite::start(site.folder()) else { return };
    for account in [0, 1] {
        let setup = azurite.setup_at(&site, account, "", account);
        setup.write();
        assert_eq!(holding(&setup, &["plugin", "test", "--json"]), 14, "account {account}");
        let with_the_others_key = azurite.setup_at(&site, account, "", 1 - account).check().failed_steps();
        let named = with_the_others_key.iter().all(|step| step.contains("the account key belongs to it"));
        assert!(named && !with_the_others_key.is_empty(), "{with_the_others_key:?}");
    }
    let steps = |address: &str| {
        let setup = Setup { role: "receiver", ..azurite.setup_at(&site, 0, address, 0) };
        let checked = setup.check();
        assert_eq!(checked.failed_steps(), Vec::<String>::new());
        checked.out
    };
    assert!(steps("").contains("it is empty; the agent will begin it"));
    let agent = Agent::start(&Setup { role: "receiver", ..azurite.setup_at(&site, 0, "", 0) }).await;
    agent.kill();
    for address in ["", "-secondary", ".privatelink"] {
        assert!(steps(address).contains("the key opens it"), "{address}");
    }
}

fn holds_every_claim(setup: &Setup) {
    setup.write();
    assert_eq!(holding(setup, &["plugin", "test", "--json"]), 14);
    assert_eq!(holding(setup, &["plugin", "test", "--json", "--faults"]), 14, "with mishaps on the way");
}

fn holding(setup: &Setup, test: &[&str]) -> usize {
    let said = setup.run(test);
    let claims = said.json();
    println!("{claims:#}");
    assert_eq!(said.code, 0, "{said:?}");
    let holds = |claim: &&Value| claim["outcome"] == "holds" || !claim["outcome"]["noted"].is_null();
    claims.as_array().unwrap().iter().filter(holds).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_this_repository_holds_every_claim() {
    let disks = vec![DiskSpec::with_files(12 * MIB, 1_000_000), DiskSpec::with_files(9 * MIB, 300_000)];
    let site = Site::with(vec![VmSpec::new("db01", disks), VmSpec::new("app01", vec![DiskSpec::with_files(9 * MIB, 100_000)])]).await;
    let setup = site.setup(&["db01"]);
    // The agent turns change tracking on.
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    agent.kill();
    assert_eq!(holding(&setup, &["plugin", "test", "--vm", "db01", "--json"]), 13);
    assert_eq!(holding(&setup, &["plugin", "test", "--vm", "db01", "--json", "--faults"]), 13, "with mishaps on the way");
    site.assert_no_snapshot();

    let nobody = setup.run(&["plugin", "test", "--vm", "db02"]);
    assert!(nobody.code == 1 && nobody.err.contains("no VM \"db02\" is in the inventory"), "{nobody:?}");
    let nowhere = setup.run(&["plugin", "test", "--vm", "db01", "--source", "esx"]);
    assert!(nowhere.code == 2 && nowhere.err.contains("name one of the configured sources by --source"), "{nowhere:?}");
}
