//! What a vendor does: begins with `plugin new`, builds with the ordinary tool of a language, and hands over what `plugin build` left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use e2e::agent::{Said, text};
use e2e::weed::{BUCKET, Weed};
use e2e::{Agent, MIB, Setup, Site, parts};

mod cutover;
mod source;

/// Compiled once for many runs; what two projects build into it, they build one after the other.
const RUST_TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/new-plugins");
static RUST_BUILDS: Mutex<()> = Mutex::new(());

/// A project of one test.
struct Project {
    name: &'static str,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Project {
    fn new(place: &Path, kind: &str, language: &str) -> Project {
        let name = match kind {
            "sink" => "my-store",
            "source" => "my-source",
            _ => "my-dns",
        };
        let project = Project { name, folder: place.join(name), environment: Vec::new() };
        let said = transload(place, &[], &["plugin", "new", "--kind", kind, "--lang", language, name]);
        assert!(said.code == 0 && said.out.contains("transload plugin build"), "{said:?}");
        project
    }

    /// With the versions that this repository has tried.
    fn in_rust(place: &Path, kind: &str) -> Project {
        let mut project = Project::new(place, kind, "rust");
        project.environment.push(("CARGO_TARGET_DIR", RUST_TARGET.to_owned()));
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"), project.folder.join("Cargo.lock")).unwrap();
        project
    }

    fn in_python(place: &Path, kind: &str) -> Option<Project> {
        let componentize_py = parts::foreign("TRANSLOAD_COMPONENTIZE_PY")?;
        let mut project = Project::new(place, kind, "python");
        project.environment.push(with_path(componentize_py.parent().unwrap()));
        Some(project)
    }

    fn in_javascript(place: &Path, kind: &str) -> Option<Project> {
        let node_modules = parts::foreign("TRANSLOAD_NODE_MODULES")?;
        let project = Project::new(place, kind, "js");
        std::os::unix::fs::symlink(node_modules, project.folder.join("node_modules")).unwrap();
        Some(project)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        transload(&self.folder, &self.environment, arguments)
    }

    /// By the configuration that came with the project.
    fn configured(&self, arguments: &[&str]) -> Said {
        self.run(&[&["--config", "transload.toml"], arguments].concat())
    }

    fn build(&self, arguments: &[&str]) -> Said {
        let one_at_a_time = RUST_BUILDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.is_newer_than_what_others_built();
        let said = self.run(&[&["plugin", "build"], arguments].concat());
        drop(one_at_a_time);
        said
    }

    /// Builds it, installs it as an operator does, and approves it for a server at another address than the one it was written with.
    fn is_approved(&self, (written, address): (&str, &str), shown: &str) {
        let said = self.build(&["--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        let built = said.json();
        println!("{built:#}");
        assert_eq!(built["misfits"], serde_json::json!([]));
        assert_eq!(text(&built["sha256"]).len(), 64);
        let component = std::fs::read(self.folder.join(text(&built["component"]))).unwrap();
        let kinds = ["source", "sink", "cutover"].map(|kind| format!("transload:plugin/{kind}@"));
        let named = kinds.iter().filter(|kind| component.windows(kind.len()).any(|bytes| bytes == kind.as_bytes()));
        assert_eq!(named.count(), 1, "it is of one kind, whatever it was made with knows of others");

        self.install(&self.folder.join("plugins"));
        self.edit("transload.toml", "plugins = \"dist\"", "plugins = \"plugins\"");
        self.edit("transload.toml", written, address);
        let approved = self.configured(&["plugin", "approve", self.name]);
        assert!(approved.code == 0 && approved.out.contains(shown), "{approved:?}");
    }

    /// So many claims hold, and none fails.
    fn holds(&self, claims: usize, test: &[&str]) {
        let tried = self.configured(&[&["plugin", "test", "--json"], test].concat());
        println!("{}", tried.out);
        assert_eq!(tried.code, 0, "{tried:?}");
        let holds = |claim: &&serde_json::Value| claim["outcome"] == "holds" || !claim["outcome"]["noted"].is_null();
        assert_eq!(tried.json().as_array().unwrap().iter().filter(holds).count(), claims);
    }

    /// Its twin that is wrong in this one place of its code, built as it was, fails at these claims and at no others.
    fn has_a_twin_that_fails(&self, (file, right, wrong): (&str, &str, &str), claims: &[u64], test: &[&str]) {
        self.edit(file, right, wrong);
        let said = self.build(&[]);
        assert_eq!(said.code, 0, "{said:?}");
        let tried = self.configured(&[&["plugin", "test", &format!("dist/{}", self.name), "--yes", "--json"], test].concat());
        println!("{}", tried.out);
        let judged = tried.json();
        let failed = judged.as_array().unwrap().iter().filter(|claim| !claim["outcome"]["fails"].is_null());
        let failed: Vec<u64> = failed.map(|claim| claim["number"].as_u64().unwrap()).collect();
        assert_eq!((tried.code, &failed[..]), (3, claims), "{wrong}: {tried:?}");
        self.edit(file, wrong, right);
    }

    /// As an operator does who was given what `plugin build` left.
    fn install(&self, plugins: &Path) {
        copy(&self.folder.join("dist").join(self.name), &plugins.join(self.name), &format!("{}.wasm", self.name));
    }

    /// An agent replicates to it, and its recovery points come back.
    async fn keeps_the_log_of_an_agent(&self, weed: &Weed) {
        let site = Site::small(12 * MIB, 2_000_000).await;
        let url = &weed.plain;
        let sink = format!(
            "[sink]\nname = \"store\"\nplugin = \"my-store\"\nconfig = {{ endpoint = \"{url}\", bucket = \"{BUCKET}\", prefix = \"agent/\" }}\n\
             [[sink.endpoint]]\norigin = \"{url}\"\nplaintext = true\n"
        );
        let setup = Setup { sink, ..site.setup(&["db01"]) };
        let plugins = setup.folder.join("plugins");
        copy(&parts::plugins().join("vmware-cbt"), &plugins.join("vmware-cbt"), "vmware-cbt.wasm");
        self.install(&plugins);
        let whole = setup.text().replace(&parts::plugins().display().to_string(), &plugins.display().to_string());
        let setup = Setup { whole: Some(whole), ..setup };
        assert_eq!(setup.check().failed_steps(), Vec::<String>::new());
        let agent = Agent::start(&setup).await;
        agent.settled("db01", 2).await;
        site.assert_replica(&agent, "db01", 2).await;
        site.assert_restored(&agent, "db01", 1).await;
        site.assert_no_snapshot();
    }

    /// Projects of one name share a target folder, and Cargo tells them apart by nothing but time.
    fn is_newer_than_what_others_built(&self) {
        for source in std::fs::read_dir(self.folder.join("src")).into_iter().flatten().flatten() {
            let text = std::fs::read(source.path()).unwrap();
            std::fs::write(source.path(), text).unwrap();
        }
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{before}");
        std::fs::write(path, before.replace(from, to)).unwrap();
    }
}

fn copy(from: &Path, to: &Path, component: &str) {
    std::fs::create_dir_all(to).unwrap();
    for file in ["manifest.toml", component] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn transload(folder: &Path, environment: &[(&str, String)], arguments: &[&str]) -> Said {
    let mut command = Command::new(parts::agent());
    command.args(arguments).current_dir(folder).env_remove("TRANSLOAD_LOG").envs(environment.iter().cloned());
    Said::from(parts::waiting(|| command.output()).expect("the agent's program starts"))
}

/// Where the templates look for a store, and where it is.
fn at(weed: &Weed) -> (&'static str, &str) {
    ("http://127.0.0.1:8333", &weed.plain)
}

/// What is wrong, and at which claims that shows.
type Twin = ((&'static str, &'static str, &'static str), &'static [u64]);

const SINK_ASKS: &str = "(objects of the replication log)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sink_in_rust_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let project = Project::in_rust(place.path(), "sink");
    project.is_approved(at(&weed), SINK_ASKS);
    project.holds(14, &[]);

    // It is not overwritten, and a build that fails leaves what was built before.
    let again = transload(place.path(), &[], &["plugin", "new", "--kind", "sink", "--lang", "rust", "my-store"]);
    assert!(again.code == 2 && again.err.contains("is not empty"), "{again:?}");
    let manifest = || std::fs::read(project.folder.join("dist/my-store/manifest.toml")).unwrap();
    let before = manifest();
    project.edit("src/store.rs", "impl Sink for Store {", "impl Sink for Store (");
    let failed = project.build(&[]);
    assert!(failed.code == 1 && failed.err.contains("`cargo build --release --target wasm32-wasip2` failed"), "{failed:?}");
    assert_eq!(manifest(), before);

    // What no plugin is given is noticed before anybody installs it.
    project.edit("src/store.rs", "impl Sink for Store (", "impl Sink for Store {");
    project.edit(
        "src/store.rs",
        "            product,\n",
        "            product: product + &std::fs::read_to_string(\"/name\").unwrap_or_default(),\n",
    );
    let refused = project.build(&[]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("it imports wasi:filesystem/"), "{refused:?}");
    assert!(refused.err.contains("leave std::fs, std::net and std::process out"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_twin_of_a_sink_fails_at_the_right_claim() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let project = Project::in_rust(place.path(), "sink");
    project.edit("transload.toml", "http://127.0.0.1:8333", &weed.plain);
    let twins: &[Twin] = &[
        // It replaces what is there, and so nobody is first.
        (("src/store.rs", "\"if-none-match\"", "\"x-first\""), &[3, 4]),
        // It hands over what is left of an object, as stores do.
        (
            ("src/store.rs", "(206, Some(range)) => exact(key, range, &incoming).map(|()| incoming)", "(206, Some(range)) => Ok(incoming)"),
            &[6],
        ),
        (("src/store.rs", ".map(Some)", ".map(|length: u64| Some(length / 1024 * 1024))"), &[8]),
    ];
    twins.iter().for_each(|(twin, claims)| project.has_a_twin_that_fails(*twin, claims, &[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sink_in_python_builds_holds_every_claim_and_keeps_the_log_of_an_agent() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let Some(project) = Project::in_python(place.path(), "sink") else { return };
    project.is_approved(at(&weed), SINK_ASKS);
    project.holds(14, &[]);
    project.keeps_the_log_of_an_agent(&weed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sink_in_javascript_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start_open(place.path()).await else { return };
    let Some(project) = Project::in_javascript(place.path(), "sink") else { return };
    project.is_approved(at(&weed), SINK_ASKS);
    project.holds(14, &[]);
}

/// The folder first, then wherever this test's own programs are.
fn with_path(folder: &Path) -> (&'static str, String) {
    let path = std::env::var("PATH").unwrap_or_default();
    ("PATH", format!("{}:{path}", folder.display()))
}

#[test]
fn a_tool_that_is_not_there_is_named_with_what_installs_it() {
    for (language, missing, remedy) in [
        ("rust", "there is no rustc here", "rustup target add wasm32-wasip2"),
        ("python", "there is no componentize-py here", ".venv/bin/pip install -r requirements.txt"),
        ("js", "what package.json names is not installed", "npm install"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let mut project = Project::new(place.path(), "sink", language);
        project.environment.push(("PATH", place.path().join("nowhere").display().to_string()));
        let refused = project.run(&["plugin", "build"]);
        assert_eq!(refused.code, 1, "{language}: {refused:?}");
        assert!(refused.err.contains(missing) && refused.err.contains(remedy), "{language}: {refused:?}");
        assert!(!project.folder.join("dist").exists());
    }
}
