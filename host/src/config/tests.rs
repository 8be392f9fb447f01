use super::units::Span;
use super::*;

const GOOD: &str = r#"
vms = ["db01"]
[key]
file = "store.key"
[[source]]
name = "vc1"
plugin = "vmware-cbt"
[sink]
plugin = "storage-s3"
[receiver]
replicas = "replicas"
"#;

fn wrong(text: &str) -> Vec<String> {
    Config::parse(text, Path::new("/etc/transload")).unwrap_err().wrong
}

/// The good configuration with one text replaced by another.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replace(old, new)
}

#[test]
fn a_few_lines_are_enough_and_paths_count_from_the_file() {
    let config = Config::parse(GOOD, Path::new("/etc/transload")).unwrap();
    assert_eq!(config.key, KeyConfig::File("/etc/transload/store.key".into()));
    assert_eq!(config.sources[0].folder, Path::new("/usr/lib/transload/plugins/vmware-cbt"));
    assert_eq!(
        config.vms,
        [VmConfig { name: "db01".into(), source: "vc1".into(), target_size_max: None, repair: RepairConfig::Automatic, stores: None }]
    );
    assert_eq!(config.sink.name, "storage-s3");
    assert_eq!(config.replication, Replication::default());
}

#[test]
fn the_commented_example_is_a_configuration() {
    let config = Config::parse(Config::commented_example(), Path::new("/etc/transload")).unwrap();
    assert_eq!(config.sources[0].endpoints[0].origin().to_string(), "https://vcenter.example.test");
    assert_eq!(config.replication, Replication::default());
}

#[test]
fn the_values_shown_in_the_comments_of_the_example_are_the_defaults() {
    let shown = |table: &str| -> String {
        let lines = Config::commented_example().lines().skip_while(|line| *line != table).take_while(|line| !line.is_empty());
        lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect()
    };
    let (replication, limits, retention) = (shown("[replication]"), shown("[limits]"), shown("[retention]"));
    assert_eq!((replication.lines().count(), limits.lines().count(), retention.lines().count()), (12, 7, 5));
    let config = Config::parse(&format!("{GOOD}{replication}{limits}{retention}"), Path::new("/")).unwrap();
    assert_eq!((config.replication, config.retention), (Replication::default(), Retention::default()));
    assert_eq!(config.limits, Limits { disks_per_host: Some(8), ..Limits::default() });
}

#[test]
fn all_unknown_keys_are_listed() {
    let text = with("[receiver]", "colour = 1\n[[sink.endpoint]]\norigin = \"https://s3.test\"\nplaintxt = true\n[receiver]\nsize = 2");
    assert_eq!(wrong(&text), ["unknown key \"receiver.size\"", "unknown key \"sink.colour\"", "unknown key \"sink.endpoint.0.plaintxt\""]);
}

#[test]
fn units_are_demanded() {
    assert_eq!(wrong(&format!("{GOOD}[replication]\nin-flight = 64\n")), ["line 13: 64 has no unit: write it as text, such as \"64 MiB\""]);
    assert_eq!(
        wrong(&format!("{GOOD}[replication]\npoll = \"2 sec\"\n")),
        ["line 13: \"2 sec\" has the unit \"sec\", which is none of ms, s, min, h, d"]
    );
}

#[test]
fn values_that_cannot_work_are_refused() {
    let text = format!("{GOOD}[replication]\ninterval-min = \"2 h\"\ninterval-max = \"1 h\"\nsegment = \"32 MiB\"\n");
    assert_eq!(
        wrong(&text),
        [
            "[replication] interval-min is longer than interval-max",
            "[replication] segment must be between 1 MiB and 16 MiB: the format knows no larger one",
        ]
    );
}

#[test]
fn limits_are_numbers_of_one_or_more_and_each_key_is_known() {
    let with = |limits: &str| Config::parse(&format!("{GOOD}[limits]\n{limits}\n"), Path::new("/"));
    assert_eq!(with("").unwrap().limits, Limits::default());
    assert_eq!(with("disks = 4\ndisks-per-host = 2").unwrap().limits, Limits { disks: 4, disks_per_host: Some(2), ..Limits::default() });
    let wrong = with("vms = 0\ndisks-per-host = 0").unwrap_err().wrong;
    assert_eq!(wrong, ["[limits] vms must be at least 1", "[limits] disks-per-host must be at least 1"]);
    let wrong = with("datastore-reserve-percent = 51\nsnapshot-age-max = \"59 min\"").unwrap_err().wrong;
    assert!(wrong[0].contains("at most 50") && wrong[1].contains("at least 1 h"), "{wrong:?}");
    assert_eq!(with("disks-at-once = 4").unwrap_err().wrong, ["unknown key \"limits.disks-at-once\""]);
}

#[test]
fn a_guest_gets_a_moment_and_at_most_a_day_to_shut_down() {
    let with = |within: &str| Config::parse(&format!("{GOOD}[replication]\nshutdown-within = \"{within}\"\n"), Path::new("/"));
    assert_eq!(with("45 min").unwrap().replication.shutdown_within, Span::seconds(2700));
    for within in ["0 s", "9999 ms", "25 h"] {
        assert_eq!(
            with(within).unwrap_err().wrong,
            [
                "[replication] shutdown-within must be between 10 s and 1 d: a guest needs a moment, and one that needs longer than a day hangs"
            ]
        );
    }
}

#[test]
fn names_must_tell_things_apart() {
    let twice = with("[sink]", "[[source]]\nname = \"vc1\"\nplugin = \"vmware-cbt\"\n[sink]");
    assert_eq!(
        wrong(&twice),
        [
            "two sources are named \"vc1\": give each a name of its own",
            "VM \"db01\" does not say which source it is on: add source = \"…\""
        ]
    );
    let twice = with("[sink]", "[[cutover]]\nplugin = \"my-dns\"\n[[cutover]]\nplugin = \"my-dns\"\n[sink]");
    assert_eq!(wrong(&twice), ["two cutovers are named \"my-dns\": give each a name of its own"]);
    assert_eq!(wrong(&with("[\"db01\"]", "[\"db01\", \"db01\"]")), ["VM \"db01\" is listed twice"]);
    let elsewhere = with("vms = [\"db01\"]", "").replace("[key]", "[[vm]]\nname = \"db01\"\nsource = \"vc9\"\n[key]");
    assert_eq!(wrong(&elsewhere), ["VM \"db01\" is on source \"vc9\", but there is no such source"]);
    assert_eq!(
        wrong(&with("\"vc1\"", "\"VC 1\"")),
        ["source: \"VC 1\" is no name: use lower-case letters, digits and hyphens, at most 40"]
    );
    assert_eq!(
        wrong(&with("\"vmware-cbt\"", "\"../vmware-cbt\"")),
        ["source vc1: plugin \"../vmware-cbt\" must be the name of a folder below /usr/lib/transload/plugins"]
    );
}

#[test]
fn endpoints_are_checked_whole() {
    let text = with(
        "[sink]",
        r#"
[[source.endpoint]]
origin = "https://vc.test"
trust = { pin = "abcd" }
address = "vc"
expect = ["10.0.0.0/40"]
proxy = { url = "proxy:3128", user = "u" }
[[source.endpoint]]
origin = "http://vc.test"
[sink]"#,
    );
    let pin = "source vc1: endpoint https://vc.test: \"abcd\" is no pin: write sha256: and the 64 hexadecimal digits of the certificate's \
               SHA-256 fingerprint (colons may stand between them)";
    assert_eq!(
        wrong(&text),
        [
            pin,
            "source vc1: endpoint https://vc.test: address \"vc\" is no IP address",
            "source vc1: endpoint https://vc.test: expect \"10.0.0.0/40\" is no network such as \"10.0.0.0/8\"",
            "source vc1: endpoint https://vc.test: proxy: \"proxy:3128\" must start with https://host or http://host",
            "source vc1: endpoint https://vc.test: proxy: user and password-file belong together",
            "source vc1: endpoint http://vc.test: http://vc.test would be reached without TLS: use https://, or write plaintext = true at its \
         endpoint if that is meant",
        ]
    );
}

#[test]
fn the_two_ends_must_be_there() {
    assert_eq!(
        wrong(&with("[[source]]\nname = \"vc1\"\nplugin = \"vmware-cbt\"", "").replace("vms = [\"db01\"]", "")),
        ["there is no [[source]]: a gateway needs one; with role = \"receiver\" none is needed"]
    );
    assert_eq!(
        wrong(&with("[receiver]\nreplicas = \"replicas\"", "")),
        ["there is no [receiver]: say with replicas = \"…\" where replicas go"]
    );
    assert_eq!(
        wrong("role = \"receiver\"\n"),
        [
            "there is no [sink]: the replication log needs a store, which gateway and receiver share",
            "there is no [key]: say with file = \"…\" what opens the data key of the store",
            "there is no [receiver]: say with replicas = \"…\" where replicas go",
        ]
    );
}

#[test]
fn one_device_never_holds_two_disks() {
    let devices: String =
        ["a", "b"].map(|disk| format!("[[receiver.device]]\nvm = \"db01\"\ndisk = \"{disk}\"\npath = \"/dev/sdb\"\n")).concat();
    assert_eq!(wrong(&format!("{GOOD}{devices}")), ["device /dev/sdb is given to two disks; one would overwrite the other"]);
}

#[test]
fn a_missing_secret_file_is_said_with_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transload.toml");
    std::fs::write(&path, with("[sink]", "secrets = { password = \"vc1.password\" }\n[sink]")).unwrap();
    let secret = folder.path().join("vc1.password");
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!(
            "the configuration {} cannot be used; nothing was started and nothing was touched:\n  - vc1: secret \"password\": there is no \
             secret file {}: write the secret into it and make it readable for its owner only (chmod 600)",
            path.display(),
            secret.display()
        )
    );
}

#[test]
fn the_windows_and_rates_in_the_comments_of_the_example_can_be_used() {
    let is_setting = |line: &&str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let shown: Vec<&str> = Config::commented_example()
        .lines()
        .skip_while(|line| !line.starts_with("# ---- when, and how fast"))
        .skip(1)
        .take_while(|line| !line.starts_with("# ----"))
        .map(|line| line.trim_start_matches("# "))
        .filter(is_setting)
        .collect();
    let config = Config::parse(&format!("{GOOD}{}", shown.join("\n")), Path::new("/")).unwrap();
    assert_eq!((shown.len(), config.calendar.blackouts.len(), config.calendar.limits.len()), (13, 3, 1));
}
