//! A new source, in each language: machines exported as images into a bucket.

use std::sync::{Arc, Mutex};

use e2e::agent::{modes, sum, text};
use e2e::weed::Weed;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::sparse_digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Project, Twin, at, copy};

const CLAIMS: usize = 13;
const ASKS: &str = "(reads machines/ and what was exported there; writes and deletes its notes below snapshots/)";

/// An image of so many bytes, the same for the same seed.
fn image(seed: u64, bytes: u64) -> Vec<u8> {
    let mut image = vec![0; bytes as usize];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut image);
    image
}

/// What a job that exports machines uploads last.
fn described(weed: &Weed, name: &str) {
    let uuid = format!("4a1c7c1e-9d5b-4b57-8a53-{name:0>12}");
    let described = json!({ "uuid": uuid, "cpus": 2, "memory-mib": 2048, "efi": true, "guest-os": "Debian 12" });
    weed.put(&format!("machines/{name}/machine.json"), described.to_string().as_bytes());
}

/// More machines than a page of the inventory holds, one of them with two disks, and an export that is not complete.
fn exported(weed: &Weed) {
    weed.put("machines/db01/root.raw", &image(1, 6 * MIB));
    weed.put("machines/db01/with%20a%20space%20%26%20more.raw", &image(2, 3 * MIB + 512));
    for name in ["app01", "app01-2", "db01"] {
        described(weed, name);
    }
    weed.put("machines/half/root.raw", &image(3, MIB));
}

async fn holds_every_claim(project: &Project, weed: &Weed) {
    exported(weed);
    project.is_approved(at(weed), ASKS);
    project.holds(CLAIMS, &["--vm", "db01"]);
    project.holds(CLAIMS, &["--vm", "db01", "--faults"]);
    assert_eq!(weed.keys("snapshots/"), Vec::<String>::new(), "each note was deleted again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_source_in_rust_builds_holds_every_claim_and_feeds_an_agent() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let project = Project::in_rust(place.path(), "source");
    holds_every_claim(&project, &weed).await;
    is_tried_where_it_lies(&project);
    feeds_an_agent(&project, &weed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_twin_of_a_source_fails_at_the_right_claim() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    exported(&weed);
    let project = Project::in_rust(place.path(), "source");
    project.edit("transload.toml", "http://127.0.0.1:8333", &weed.plain);
    let twins: &[Twin] = &[
        (("src/machines.rs", "machine.description.uuid != vm.fingerprint", "vm.fingerprint.is_empty()"), &[5]),
        (("src/snapshots.rs", "\"snapshots/{}/{tag_prefix}\"", "\"snapshots/{}/\""), &[8]),
        // What changed in the last sector is nobody's.
        (("src/snapshots.rs", "Extent::new(0, image.size)", "Extent::new(0, image.size - 512)"), &[12]),
    ];
    twins.iter().for_each(|(twin, claims)| project.has_a_twin_that_fails(*twin, claims, &["--vm", "db01"]));
    assert_eq!(weed.keys("snapshots/"), Vec::<String>::new(), "each note was deleted again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_source_in_python_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let Some(project) = Project::in_python(place.path(), "source") else { return };
    holds_every_claim(&project, &weed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_source_in_javascript_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let Some(project) = Project::in_javascript(place.path(), "source") else { return };
    holds_every_claim(&project, &weed).await;
}

/// `plugin test PATH`: a folder and an archive that are not installed, in place of the configured one, and by a yes of their own.
fn is_tried_where_it_lies(project: &Project) {
    project.edit("dist/my-source/manifest.toml", "version = \"0.1.0\"", "version = \"0.1.1\"");
    let mut tar = std::process::Command::new("tar");
    let archived = tar.args(["-C", "dist", "-cf", "candidate.tar", "my-source"]).current_dir(&project.folder).status();
    assert!(archived.unwrap().success());
    let untried = project.configured(&["plugin", "test", "dist/my-source", "--vm", "db01"]);
    assert!(untried.code == 1 && untried.err.contains("my-source at "), "{untried:?}");
    assert!(untried.err.contains("is not approved, and was not run. It would\n  - send GET, PUT and DELETE to"), "{untried:?}");
    let yes = untried.err.split_whitespace().find(|word| word.starts_with("--yes=")).unwrap().trim_end_matches(':').to_owned();
    project.holds(CLAIMS, &["dist/my-source", "--vm", "db01", &yes]);
    let other = project.configured(&["plugin", "test", "dist/my-source", "--vm", "db01", &format!("--yes={}", "0".repeat(64))]);
    assert!(other.code == 1 && other.err.contains("is not what --yes names, so it was not run"), "{other:?}");
    let archive = project.configured(&["plugin", "test", "candidate.tar", "--vm", "db01", "--yes"]);
    assert_eq!((archive.code, archive.out.matches("ok  ").count()), (0, CLAIMS), "{archive:?}");
    assert!(archive.err.contains("runs in this trial because of --yes. It would\n  - send GET, PUT and DELETE to"), "{archive:?}");
    let again = project.configured(&["plugin", "test", "dist/my-source", "--vm", "db01"]);
    assert_eq!(again.code, 1, "that yes was good for one trial: {again:?}");
    // The version that was approved needs no other yes, wherever it lies.
    project.holds(CLAIMS, &["plugins/my-source", "--vm", "db01"]);
    let without = project.configured(&["plugin", "test", "plugins/my-source"]);
    assert!(without.code == 2 && without.err.contains("my-source is a source: name one of its VMs with --vm"), "{without:?}");
}

/// What happens once, when it is time.
type Armed = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// On the way to the store: what was armed happens just before the first range of root.raw is asked for. Other images are sampled at any time.
struct Between {
    url: String,
    armed: Armed,
}

impl Between {
    async fn start(to: &str) -> Between {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let armed = Armed::default();
        let (to, watched) = (to.trim_start_matches("http://").to_owned(), armed.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&to).await else { continue };
                let ((mut asking, mut answered), (mut answering, mut asked)) = (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut answering, &mut answered).await });
                let watched = watched.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = asking.read(&mut request).await {
                        let request_text = String::from_utf8_lossy(&request[..length]).to_ascii_lowercase();
                        let is_range = request_text.contains("/root.raw") && request_text.contains("if-match: ");
                        if let Some(happens) = is_range.then(|| watched.lock().unwrap().take()).flatten() {
                            happens();
                        }
                        if asked.write_all(&request[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Between { url, armed }
    }

    fn arm(&self, happens: impl FnOnce() + Send + 'static) {
        *self.armed.lock().unwrap() = Some(Box::new(happens));
    }

    fn has_happened(&self) -> bool {
        self.armed.lock().unwrap().is_none()
    }
}

/// An agent takes a first copy, finds nothing changed, compares what was exported anew, and mixes no two exports.
async fn feeds_an_agent(project: &Project, weed: &Weed) {
    let site = Site::empty().await;
    let between = Between::start(&weed.plain).await;
    let url = &between.url;
    let source = format!(
        "[[source]]\nname = \"images\"\nplugin = \"my-source\"\nconfig = {{ endpoint = \"{url}\", bucket = \"transload\" }}\n\
         [[source.endpoint]]\norigin = \"{url}\"\nplaintext = true\n"
    );
    let setup = Setup { source, ..site.setup(&["db01"]) };
    let plugins = setup.folder.join("plugins");
    copy(&parts::plugins().join("storage-s3"), &plugins.join("storage-s3"), "storage-s3.wasm");
    copy(&project.folder.join("plugins/my-source"), &plugins.join("my-source"), "my-source.wasm");
    let whole = setup.text().replace(&parts::plugins().display().to_string(), &plugins.display().to_string());
    let setup = Setup { whole: Some(whole), ..setup };
    assert_eq!(setup.check().failed_steps(), Vec::<String>::new());
    let agent = Agent::start(&setup).await;
    let unchanged = agent.settled("db01", 2).await;
    assert_eq!((sum(&unchanged, "read"), sum(&unchanged, "sent")), (0, 0), "{unchanged:#}");
    let expect_replica = |seed: u64| {
        let id = text(&agent.vm("db01").unwrap()["id"]).to_owned();
        let expected = site.folder().join("expected");
        std::fs::write(&expected, image(seed, 6 * MIB)).unwrap();
        let replica = agent.setup.replicas().join(id).join("root.raw");
        assert_eq!(sparse_digest(&replica).unwrap(), sparse_digest(&expected).unwrap());
    };
    expect_replica(1);

    weed.put("machines/db01/root.raw", &image(4, 6 * MIB));
    let anew = agent.sync("db01").await;
    let how: Vec<String> = modes(&anew).into_iter().map(|(_, mode)| mode).collect();
    assert_eq!(how, ["resync", "delta"], "{anew:#}");
    expect_replica(4);

    weed.put("machines/db01/root.raw", &image(5, 6 * MIB));
    let store = weed.plain.clone();
    between.arm(move || e2e::weed::put(&store, "machines/db01/root.raw", &image(6, 6 * MIB)));
    let next = agent.newest("db01") + 1;
    agent.demand("db01", "sync");
    let failed = agent.ended("db01", next).await;
    assert!(between.has_happened());
    println!("{failed:#}");
    assert!(failed.to_string().contains("412"), "{failed:#}");
    expect_replica(4);
    agent.sync("db01").await;
    expect_replica(6);
    assert_eq!(weed.keys("snapshots/"), Vec::<String>::new());

    // It cannot switch the machine off, and so there is no final cycle of it, and nothing is claimed to be one.
    agent.demand("db01", "final");
    let told = agent.until("db01", "why there is no final cycle", |_| agent.trouble("db01")).await;
    assert!(told.contains("switch it there"), "{told}");
}
