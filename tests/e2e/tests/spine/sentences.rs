//! What a person reads when something is wrong: what happened, whether the data is safe, what to do. Kept still by a golden file.
//!
//! `TRANSLOAD_BLESS=1` writes the file anew; then read what changed.

use std::path::PathBuf;

use e2e::agent::text;
use e2e::setup::secret_file;
use e2e::{Agent, MIB, Said, Setup, Site};
use lab::vcenter::{DiskSpec, VmSpec};
use serde_json::Value;

fn golden() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/sentences.txt"))
}

/// The sentences so far, without what differs from run to run.
struct Book {
    site: String,
    text: String,
}

impl Book {
    fn write(&mut self, title: &str, said: &str) {
        let said = said.replace(&self.site, "SITE").replace(&e2e::parts::plugins().display().to_string(), "PLUGINS");
        let lines: Vec<String> = said.trim().lines().map(|line| format!("  {}", steady(line))).collect();
        self.text.push_str(&format!("== {title}\n{}\n\n", lines.join("\n")));
    }

    /// Both outputs: some tell by one, some by the other. Lines of the agent's log are left out.
    fn command(&mut self, title: &str, said: &Said) {
        assert_ne!(said.code, 0, "{title}: {said:?}");
        let told: String = said.err.lines().filter(|line| !line.starts_with("{\"timestamp\"")).map(|line| format!("{line}\n")).collect();
        self.write(title, &format!("{told}{}(exit status {})", said.out, said.code));
    }

    fn check(&mut self, title: &str, setup: &Setup) {
        self.checked(title, &setup.check());
    }

    /// The steps that failed, then what holds for all of them.
    fn checked(&mut self, title: &str, said: &Said) {
        let (json, failed) = (said.json(), said.failed_steps());
        assert!(!failed.is_empty(), "{title}: check found nothing");
        let steps = failed.join("\n").replace(" -> ", "\n    ");
        self.write(title, &format!("{steps}\n{}\n{}", text(&json["safe"]), text(&json["next"])));
    }

    fn trouble(&mut self, title: &str, trouble: &Value) {
        let fault = &trouble["fault"];
        let said = [text(&fault["message"]), text(&trouble["safe"]), text(&trouble["next"])];
        assert!(said.iter().all(|line| !line.is_empty()), "{title}: {trouble:#}");
        self.write(title, &said.join("\n"));
    }
}

/// Ports, digests, ids and times become names; they differ from run to run.
fn steady(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let hex = rest.bytes().take_while(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()).count();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let dashed = rest.bytes().take_while(|b| b.is_ascii_hexdigit() || *b == b'-').count();
        let timed = rest.find('Z').map_or(0, |end| end + 1);
        let timed = if rest[..timed].bytes().all(|b| b.is_ascii_digit() || b"-T:.Z".contains(&b)) { timed } else { 0 };
        let at_word = !out.ends_with(|c: char| c.is_ascii_alphanumeric());
        if at_word && timed >= 20 && rest[..timed].contains('T') {
            out.push_str("TIME");
            rest = &rest[timed..];
        } else if at_word && dashed == 36 {
            out.push_str("UUID");
            rest = &rest[36..];
        } else if at_word && (hex == 64 || hex == 32 || hex == 16) {
            out.push_str("HEX");
            rest = &rest[hex..];
        } else if digits >= 4 && out.ends_with(':') {
            out.push_str("PORT");
            rest = &rest[digits..];
        } else {
            let next = rest.chars().next().expect("it is not empty");
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_answered_by_what_happened_what_is_safe_and_what_to_do() {
    let disk = || DiskSpec::with_files(8 * MIB, 500_000);
    let twin = |bios: &str| VmSpec { bios_uuid: Some(bios.to_owned()), ..VmSpec::new("clone", vec![disk()]) };
    let site = Site::with(vec![VmSpec::new("db01", vec![disk()]), VmSpec::new("twin", vec![disk()])]).await;
    let bios = site.lab.vcenter().vm("db01").unwrap().bios_uuid;
    site.lab.vcenter().add_vm(twin(&bios)).await.unwrap();
    site.lab.vcenter().add_vm(VmSpec::new("twin", vec![disk()])).await.unwrap();
    let setup = site.setup(&["db01", "clone"]);
    let other = |change: &dyn Fn(&mut Setup)| {
        let mut other = setup.beside("other");
        change(&mut other);
        other.write();
        other
    };
    let mut book = Book { site: site.folder().display().to_string(), text: String::new() };

    // ---- the configuration ----
    let run = |change: &dyn Fn(&mut Setup)| other(change).run(&["run"]);
    book.command("an unknown key", &run(&|it| it.replication.push_str("intervall-min = \"1 h\"\n")));
    book.command("a wrong unit", &run(&|it| it.replication = it.replication.replace("1 MiB", "1 MB")));
    book.command("no unit", &run(&|it| it.replication = it.replication.replace("\"1 MiB\"", "1")));
    book.command("a pin that is none", &run(&|it| it.source = it.source.replace("trust = {", "trust = { pin = \"sha256:12\" } #")));
    book.command("a secret file that is missing", &run(&|it| it.source = it.source.replace("vcenter.password", "nowhere.password")));
    let open = site.folder().join("open.password");
    std::fs::write(&open, "x").unwrap();
    book.command("a secret file that others can read", &run(&|it| it.source = it.source.replace("vcenter.password", "open.password")));
    book.command("no configuration", &setup.beside("nothing").run(&["run"]));
    book.command("a key file that is missing", &run(&|it| it.key = it.key.with_extension("gone")));
    book.command(
        "an endpoint that the plugin never asked for",
        &run(&|it| {
            it.sink = it
                .sink
                .replace("[[sink.endpoint]]\n", "[[sink.endpoint]]\norigin = \"https://elsewhere.example.test\"\n[[sink.endpoint]]\n")
        }),
    );
    book.command(
        "a plugin that is not there",
        &run(&|it| it.source = it.source.replace("plugin = \"vmware-cbt\"", "plugin = \"no-such-plugin\"")),
    );

    // ---- what check finds ----
    let keyed = |key: PathBuf| other(&|it| it.key = key.clone());
    book.check("check: a key file that is missing", &keyed(setup.key.with_extension("gone")));
    book.check("check: a key file that others can read", &keyed(open.clone()));
    let elsewhere = |title: &'static str, old: &str, new: &str| {
        let other = other(&|_| {});
        std::fs::write(other.config(), other.text().replace(old, new)).unwrap();
        (title, other.run(&["check", "--json"]))
    };
    let plugins = format!("plugins = \"{}\"", e2e::parts::plugins().display());
    for (title, said) in [
        elsewhere("check: a state folder that cannot be written", "state = \"state\"", &format!("state = \"{}/state\"", open.display())),
        elsewhere("check: no folder of plugins", &plugins, &format!("plugins = \"{}/plugins\"", site.folder().display())),
        elsewhere("check: a plugin that is not there", "plugin = \"vmware-cbt\"", "plugin = \"no-such-plugin\""),
    ] {
        book.checked(title, &said);
    }
    let right = site.lab.vcenter().leaf_sha256().to_owned();
    book.check(
        "a pin of another certificate",
        &other(&|it| it.source = it.source.replace("trust = {", &format!("trust = {{ pin = \"sha256:{}\" }} #", "ab".repeat(32)))),
    );
    assert!(!book.text.contains(&right), "fingerprints are made steady");
    book.check(
        "a host that does not answer",
        &other(&|it| it.source = it.source.replace(&site.lab.vcenter().url(), "https://127.0.0.1:1")),
    );
    book.check("a VM that nobody knows", &other(&|it| it.vms = vec!["db07".to_owned()]));
    book.check("two VMs with one name", &other(&|it| it.vms = vec!["twin".to_owned()]));
    secret_file(&site.folder().join("wrong.password"), "wrong");
    book.check("a wrong password of vCenter", &other(&|it| it.source = it.source.replace("vcenter.password", "wrong.password")));
    book.check("a wrong secret key of S3", &other(&|it| it.sink = it.sink.replace("s3.secret-key", "wrong.password")));
    book.check("no such bucket", &other(&|it| it.sink = it.sink.replace("bucket = \"transload\"", "bucket = \"nowhere\"")));

    // ---- a running agent ----
    setup.write();
    book.command("nobody runs", &setup.run(&["sync", "db01"]));
    let agent = Agent::start(&setup).await;
    // One BIOS UUID on two VMs is no mistake of anyone's: VMs are known by instance UUID and moref.
    agent.settled("clone", 2).await;
    agent.settled("db01", 2).await;
    site.assert_replica(&agent, "clone", 2).await;
    site.assert_replica(&agent, "db01", 2).await;
    // It takes a while until it gives up for the first time.
    let url = site.lab.vcenter().url();
    let alone = Setup { role: "gateway", vms: vec!["db01".to_owned()], ..setup.beside("alone") };
    let alone = Agent::start(&Setup { source: alone.source.replace(&url, "https://127.0.0.1:1"), ..alone }).await;
    book.command("a second agent on one state", &setup.run(&["run"]));
    book.command("a VM that is not replicated", &setup.run(&["sync", "db07"]));
    book.command(
        "a point that is none",
        &setup.run(&["restore", "db01", "--point", "40", "--to", &site.folder().join("new").to_string_lossy()]),
    );
    book.command(
        "a disk that is none",
        &setup.run(&["restore", "db01", "--disk", "scsi7:7", "--to", &site.folder().join("new").to_string_lossy()]),
    );
    book.command("a file that exists", &setup.run(&["restore", "db01", "--to", &setup.config().to_string_lossy()]));
    book.command("a source that is none", &setup.run(&["replicate", "web07", "--source", "vc9"]));
    let mut missing = Agent::spawn(&other(&|it| it.vms = vec!["twin".to_owned()]));
    missing.until_it_answers().await;
    book.command(
        "a cycle of a VM whose name fits two",
        &loop {
            let said = missing.setup.run(&["sync", "twin"]);
            if !said.err.contains("is still being looked for") {
                break said;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        },
    );
    let status = |agent: &Agent| agent.setup.run(&["status"]).out.lines().skip(1).take(2).collect::<Vec<_>>().join("\n");
    book.write("status: a VM whose name fits two", &status(&missing));
    missing.kill();
    while alone.status()["missing"].as_array().is_none_or(|missing| missing.is_empty()) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    book.write("status: a source that does not answer", &status(&alone));
    alone.kill();
    let keyless = keyed(setup.key.with_extension("gone")).check().failed_steps();
    assert_eq!(keyless.len(), 1, "the store is there by now, and one thing is said once: {keyless:?}");
    let stranger = secret_file(&site.folder().join("stranger.key"), &"0e".repeat(32));
    book.command("the key of another store", &run(&|it| it.key = stranger.clone()));

    // ---- trouble on the way ----
    let in_trouble = async |title: &str| {
        agent.demand("db01", "sync");
        agent.until("db01", title, |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await
    };
    site.lab.s3().set_knobs(|knobs| knobs.full = true);
    book.trouble("a store that is full", &in_trouble("a store that is full").await);
    site.lab.s3().set_knobs(|knobs| knobs.full = false);
    agent.until("db01", "rest", |vm| (vm["trouble"].is_null() && vm["cycle"].is_null()).then_some(())).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.denied_privileges = vec!["VirtualMachine.State.CreateSnapshot".to_owned()]);
    book.trouble("a right that is missing", &in_trouble("a right that is missing").await);
    site.lab.vcenter().set_knobs(|knobs| knobs.denied_privileges.clear());
    agent.until("db01", "rest", |vm| (vm["trouble"].is_null() && vm["cycle"].is_null()).then_some(())).await;
    let foreign = site.lab.vcenter().create_snapshot("db01", "before the upgrade").await.unwrap();
    agent.demand("db01", "sync");
    book.trouble("a snapshot of somebody else", &in_trouble("a snapshot of somebody else").await);
    site.lab.vcenter().remove_snapshot(&foreign).await.unwrap();
    // A backup product's snapshot comes and goes; nobody has to do anything afterwards.
    agent.until("db01", "rest", |vm| (vm["trouble"].is_null() && vm["cycle"].is_null()).then_some(())).await;
    agent.kill();
    let takes_over = Agent::start(&setup.beside("new")).await;
    let at_rest = |vm: &Value| (!vm["history"].as_array()?.is_empty() && text(&vm["state"]).starts_with("idle")).then_some(());
    takes_over.until("db01", "its first cycle", at_rest).await;
    drop(takes_over);
    let returned = Agent::start(&setup).await;
    let halted = returned.until("db01", "the halt", |vm| text(&vm["state"]).starts_with("halted").then(|| vm["trouble"].clone())).await;
    book.trouble("an agent that comes back after another took over", &halted);
    book.command("a command to it", &returned.setup.run(&["sync", "db01"]));

    let text = book.text.trim_end().to_owned() + "\n";
    if std::env::var_os("TRANSLOAD_BLESS").is_some() {
        std::fs::create_dir_all(golden().parent().unwrap()).unwrap();
        std::fs::write(golden(), &text).unwrap();
    }
    let known = std::fs::read_to_string(golden()).unwrap_or_default();
    for (known, now) in known.split("\n\n").zip(text.split("\n\n")) {
        assert_eq!(now.trim(), known.trim(), "{} differs; TRANSLOAD_BLESS=1 takes it over", golden().display());
    }
    assert_eq!(text, known, "{} differs; TRANSLOAD_BLESS=1 takes it over", golden().display());
}
