//! What a new operator does: begins with `init`, fills in what is theirs, checks, runs, adds a VM, watches.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use e2e::setup::secret_file;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::vcenter::{DiskSpec, VmSpec};

/// Not SIGINT: who starts the tests in the background may have it ignored, and then it is ignored in everything they start.
const SIGTERM: i32 = 15;

/// The endpoints are believed as the example says: by the authorities of the machine, of which the lab's is the only one here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_of_init_replicates_once_it_is_filled_in_and_a_vm_that_is_added_by_command_is_remembered() {
    let vm = |name: &str| VmSpec::new(name, vec![DiskSpec::with_files(12 * MIB, 1_000_000)]);
    let site = Site::with(vec![vm("db01"), vm("web01")]).await;
    let mut setup = Setup { folder: site.folder().join("etc"), ..site.setup(&[]) };
    setup.environment.push(("SSL_CERT_FILE".to_owned(), site.ca_file().display().to_string()));

    let (config, key) = (setup.config(), setup.folder.join("store.key"));
    let nowhere = setup.run(&["init", "--key", "/nowhere/store.key"]);
    assert!(nowhere.code == 1 && !config.exists(), "a configuration without its key is not left behind: {nowhere:?}");
    let said = setup.run(&["init"]);
    assert!(said.code == 0 && said.out.contains("Keep a copy of the key file elsewhere"), "{said:?}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&config) & 0o137), (0o600, 0), "the key is its owner's alone, and nobody else writes the configuration");
    let both = || (std::fs::read_to_string(&config).unwrap(), std::fs::read_to_string(&key).unwrap());
    let written = both();
    for gone in [None, Some(&config), Some(&key)] {
        gone.into_iter().for_each(|path| std::fs::rename(path, path.with_extension("moved")).unwrap());
        let again = setup.run(&["init"]);
        assert!(again.code == 1 && again.err.contains("Nothing was overwritten"), "{again:?}");
        gone.into_iter().for_each(|path| std::fs::rename(path.with_extension("moved"), path).unwrap());
    }
    assert_eq!(both(), written, "a second init changes nothing");

    setup.whole = Some(filled_in(&site, written.0));
    let checked = setup.check();
    assert_eq!((checked.code, checked.failed_steps()), (0, vec![]));
    assert_eq!(checked.json()["inventory"]["vc1"], serde_json::json!(["db01", "web01"]));
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let wanted = |verb: &str| agent.ask(&["replicate", "web01"]).json()[verb]["message"].as_str().map(str::to_owned);
    assert_eq!(wanted("accepted").as_deref(), Some("web01 will be replicated from vc1"));
    agent.settled("web01", 2).await;
    assert_eq!(wanted("ignored").as_deref(), Some("web01 is replicated already"));
    drop(agent);

    let agent = Agent::start(&setup).await;
    // It answers before it has found its VMs again.
    agent.settled("web01", 2).await;
    agent.sync("web01").await;
    for (vm, cycle) in [("db01", 2), ("web01", 3)] {
        let id = agent.vm(vm).unwrap()["id"].as_str().unwrap().to_owned();
        let disk = e2e::claims::disk_id(&site.frozen(vm, cycle).await[0]);
        let replica = setup.folder.join("lib/replicas").join(id).join(format!("{disk}.raw"));
        assert_eq!(Some(lab::sparse_digest(&replica).unwrap()), site.frozen(vm, cycle).await[0].digest, "{vm}");
    }
    let mut watch = Watch::start(&setup);
    assert!(watch.says("db01") && watch.says("web01") && watch.says("db01"), "the table comes again");
    assert_eq!(watch.ended().signal(), Some(SIGTERM));
    let unread = Watch::start(&setup);
    assert_eq!(unread.unread().code(), Some(0), "nobody reads any more");
}

/// The example, with an operator's own values in the places of the example's.
fn filled_in(site: &Site, example: String) -> String {
    let (vcenter, s3) = (site.lab.vcenter(), site.lab.s3());
    let place = |name: &str, secret: &str| secret_file(&site.folder().join(name), secret).display().to_string();
    let own = [
        ("https://vcenter.example.test", vcenter.url()),
        ("svc-transload@vsphere.local", vcenter.user().to_owned()),
        ("/etc/transload/vc1.password", place("own.password", vcenter.password())),
        ("https://s3.example.test", s3.url()),
        ("AKIAEXAMPLE", s3.access_key().to_owned()),
        ("/etc/transload/s3.secret-key", place("own.secret-key", s3.secret_key())),
        // Where a package would have put things.
        ("/var/lib/transload", "lib".to_owned()),
        ("/usr/lib/transload/plugins", parts::plugins().display().to_string()),
    ];
    own.into_iter().fold(example, |text, (example, own)| {
        assert!(text.contains(example), "the example names {example}");
        text.replace(example, &own)
    })
}

/// A running `status --watch`.
struct Watch {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watch {
    fn start(setup: &Setup) -> Watch {
        let mut command = Command::new(parts::agent());
        command.arg("--config").arg(setup.config()).args(["status", "--watch"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        Watch { child, lines }
    }

    /// Reads on until a line names this.
    fn says(&mut self, what: &str) -> bool {
        let mut line = String::new();
        while self.lines.as_mut().unwrap().read_line(&mut line).unwrap() > 0 {
            if line.contains(what) {
                return true;
            }
            line.clear();
        }
        false
    }

    fn ended(&mut self) -> ExitStatus {
        assert!(Command::new("kill").args([format!("-{SIGTERM}"), self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    fn unread(mut self) -> ExitStatus {
        drop(self.lines.take());
        self.child.wait().unwrap()
    }
}
