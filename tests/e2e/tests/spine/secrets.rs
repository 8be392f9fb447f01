//! Secrets appear in no log, argument, environment, error, journal, state, or object of the store, and in no core file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use e2e::agent::aborts_with_a_core;
use e2e::proxy::{PASSWORD, Proxy, USER};
use e2e::setup::secret_file;
use e2e::site::STORE_KEY;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;

const PASSPHRASE: &str = "correct <horse> & battery/staple";

struct Needle {
    what: String,
    bytes: Vec<u8>,
}

fn needles(site: &Site) -> Vec<Needle> {
    let key: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&STORE_KEY[2 * at..2 * at + 2], 16).unwrap()).collect();
    let named = [
        ("vCenter's password", site.lab.vcenter().password().as_bytes().to_vec()),
        ("S3's secret key", site.lab.s3().secret_key().as_bytes().to_vec()),
        ("the store's key in hex", STORE_KEY.as_bytes().to_vec()),
        ("the store's key", key),
        ("the passphrase", PASSPHRASE.as_bytes().to_vec()),
        ("the proxy's password", PASSWORD.as_bytes().to_vec()),
        ("the proxy's login", format!("{USER}:{PASSWORD}").into_bytes()),
    ];
    let mut needles = Vec::new();
    for (what, bytes) in named {
        let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes);
        let escaped = String::from_utf8_lossy(&bytes).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let json = String::from_utf8_lossy(&bytes).replace('<', "\\u003c").replace('/', "\\/");
        needles.push(Needle { what: format!("{what} in base64"), bytes: base64.into_bytes() });
        needles.push(Needle { what: format!("{what} in XML"), bytes: escaped.into_bytes() });
        needles.push(Needle { what: format!("{what} in JSON"), bytes: json.into_bytes() });
        needles.push(Needle { what: what.to_owned(), bytes });
    }
    needles
}

fn assert_clean(needles: &[Needle], place: &str, bytes: &[u8]) {
    for needle in needles {
        let found = bytes.windows(needle.bytes.len()).any(|window| window == needle.bytes);
        assert!(!found, "{} stands in {place}", needle.what);
    }
    // The lab's cookies are forty hexadecimal digits; nothing else of ours has that length. Compiled code names the compiler's commit.
    if place.ends_with(".code") {
        return;
    }
    let words = bytes.split(|byte| !byte.is_ascii_hexdigit());
    let cookie = words.filter(|word| word.len() == 40).map(String::from_utf8_lossy).next();
    assert_eq!(cookie, None, "a session's cookie stands in {place}");
}

fn assert_folder_clean(needles: &[Needle], folder: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files += assert_folder_clean(needles, &path);
        } else if kind.is_file() {
            files += 1;
            assert_clean(needles, &path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_stands_anywhere_but_in_its_own_file() {
    let site = Site::small(16 * MIB, 3_000_000).await;
    let setup = site.setup(&["db01"]);
    let needles = needles(&site);
    let mut agent = Agent::spawn_with(&setup, "trace");
    agent.until_it_answers().await;
    agent.settled("db01", 2).await;
    // A login that expires in the middle, and requests that fail, take the paths that print errors.
    site.lab.vcenter().expire_sessions();
    site.lab.s3().set_knobs(|knobs| knobs.fail_next = 3);
    site.guest_writes("db01", Workload::Scattered { writes: 5, bytes: 4096 }, 1).await;
    agent.sync("db01").await;
    let process = Path::new("/proc").join(agent.id().to_string());
    assert_clean(&needles, "cmdline", &std::fs::read(process.join("cmdline")).unwrap());
    // To anybody but root it does not open at all.
    if let Ok(environ) = std::fs::read(process.join("environ")) {
        assert_clean(&needles, "environ", &environ);
    }
    let limits = std::fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "a core file would hold the keys: {core}");

    for arguments in [vec!["status"], vec!["status", "--json"], vec!["check"], vec!["check", "--json"], vec!["verify", "db01"]] {
        let said = setup.run(&arguments);
        assert_clean(&needles, &format!("the output of {arguments:?}"), said.out.as_bytes());
        assert_clean(&needles, &format!("the errors of {arguments:?}"), said.err.as_bytes());
    }
    // Wrong secrets are secrets as well.
    let mistyped = secret_file(&site.folder().join("mistyped"), "hunter2-is-nearly-right");
    let wrong = Setup {
        source: setup.source.replace("vcenter.password", "mistyped"),
        sink: setup.sink.replace("s3.secret-key", "mistyped"),
        ..setup.beside("wrong")
    };
    let said = wrong.check();
    assert_eq!(said.failed_steps().len(), 2, "{:?}", said.failed_steps());
    assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{} is printed", mistyped.display());
    println!("{:?}", said.failed_steps());

    // A passphrase instead of a key, and a proxy with a login.
    let proxy = Proxy::start().await;
    let file = secret_file(&site.folder().join("proxy.password"), PASSWORD);
    let line = format!("proxy = {{ url = \"{}\", user = \"{USER}\", password-file = {file:?} }}\n", proxy.url);
    let proxied = Setup {
        key: secret_file(&site.folder().join("store.passphrase"), PASSPHRASE),
        key_word: "passphrase-file",
        source: format!("{}{line}", setup.source),
        sink: format!("{}{line}", setup.sink.replace("access-key =", "prefix = \"proxied\", access-key =")),
        ..setup.beside("proxied")
    };
    let mut through = Agent::spawn_with(&proxied, "trace");
    through.until_it_answers().await;
    through.settled("db01", 2).await;
    assert!(proxy.let_through() > 0);
    drop(through);

    assert!(!agent.abort(), "a core file was written, with all keys in it");
    for of in [&setup, &proxied] {
        let log = std::fs::read(of.log()).unwrap();
        assert!(log.len() > 20_000, "trace shows much: {} bytes", log.len());
    }
    assert!(assert_folder_clean(&needles, &proxied.folder) >= 5);
    let files = assert_folder_clean(&needles, &setup.folder);
    assert!(files >= 5, "journal, tables, log, configuration, replica: only {files} were looked at");
    for key in site.lab.s3().list_objects("").unwrap() {
        assert_clean(&needles, &key, &site.lab.s3().read_object(&key).unwrap());
        assert_clean(&needles, "the name of an object", key.as_bytes());
    }
}

/// Each verb reads secrets or may soon, so none begins before the process is closed to others. To root it is never closed, so here it
/// belongs to nobody: what is in `/proc` of a process is its user's, or root's where its user may not look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verb_leaves_a_core_file_or_lets_its_user_look_into_its_memory() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (config, agent) = (folder.path().join("transload.toml"), folder.path().join("transload"));
    assert!(Command::new("mkfifo").args(["--mode", "644"]).arg(&config).status().unwrap().success());
    std::fs::copy(parts::agent(), &agent).unwrap();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let start = |command: &mut Command| {
        if is_root {
            command.uid(NOBODY);
        }
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let owner = |child: &Child| std::fs::metadata(format!("/proc/{}/environ", child.id())).unwrap().uid();

    let mut other = start(Command::new("sleep").arg("60"));
    assert_ne!(owner(&other), 0, "another program can be looked into");
    println!("its core file would be written: {}", aborts_with_a_core(&mut other));
    for verb in [vec!["run"], vec!["check"], vec!["status"], vec!["sync", "db01"], vec!["verify", "db01"], vec!["status", "--watch"]] {
        let mut child = start(Command::new(&agent).arg("--config").arg(&config).args(&verb));
        // It opens when the other side reads its configuration, and it reads on as long as this is held.
        let held = std::fs::OpenOptions::new().write(true).open(&config).unwrap();
        assert_eq!(owner(&child), 0, "{verb:?} can be looked into by its user");
        assert!(!aborts_with_a_core(&mut child), "{verb:?} left a core file");
        drop(held);
    }
}
