//! Secrets appear in no log, argument, environment, error, journal, state, or object of the store, and in no core file.

use std::path::Path;

use base64::Engine;
use e2e::setup::secret_file;
use e2e::site::STORE_KEY;
use e2e::{Agent, MIB, Setup, Site};
use lab::Workload;

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
    for place in ["cmdline", "environ"] {
        assert_clean(&needles, place, &std::fs::read(process.join(place)).unwrap());
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

    agent.kill();
    let log = std::fs::read(setup.log()).unwrap();
    assert!(log.len() > 20_000, "trace shows much: {} bytes", log.len());
    let files = assert_folder_clean(&needles, &setup.folder);
    assert!(files >= 5, "journal, tables, log, configuration, replica: only {files} were looked at");
    for key in site.lab.s3().list_objects("").unwrap() {
        assert_clean(&needles, &key, &site.lab.s3().read_object(&key).unwrap());
        assert_clean(&needles, "the name of an object", key.as_bytes());
    }
}
