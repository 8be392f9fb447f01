//! A new cutover, in each language: names at a real PowerDNS.

use e2e::names::{API_KEY, Names};
use e2e::setup::secret_file;

use e2e::{Agent, MIB, Site, parts};
use serde_json::Value;

use super::{Project, Twin, copy};

const CLAIMS: usize = 11;
const ASKS: &str = "(reads and replaces address records of the zone)";
const WAVE: &[&str] = &["--wave", "wave.toml"];

fn holds_every_claim(project: &Project, names: &Names) {
    secret_file(&project.folder.join("api.key"), API_KEY);
    project.is_approved(("http://127.0.0.1:8081", &names.api), ASKS);
    project.holds(CLAIMS, WAVE);
    assert_eq!(names.records("www"), ["www.example.test 3600 IN A 192.0.2.10"], "the zone is as it was");
}

/// Beside source and store: it is tried before the start, listed while the agent runs, and another version takes over.
async fn belongs_to_an_agent(project: &Project, names: &Names) {
    let site = Site::small(8 * MIB, 100_000).await;
    let mut setup = site.setup(&[]);
    let plugins = setup.folder.join("plugins");
    for name in ["vmware-cbt", "storage-s3"] {
        copy(&parts::plugins().join(name), &plugins.join(name), &format!("{name}.wasm"));
    }
    project.install(&plugins);
    let key = secret_file(&setup.folder.join("api.key"), API_KEY);
    let whole = setup.text().replace(&parts::plugins().display().to_string(), &plugins.display().to_string());
    let cutover = |key: &str| {
        format!(
            "[[cutover]]\nname = \"dns\"\nplugin = \"my-dns\"\nsecrets = {{ api-key = {key:?} }}\nconfig = {{ endpoint = \"{api}\", zone = \
             \"example.test\" }}\n[[cutover.endpoint]]\norigin = \"{api}\"\nplaintext = true\n",
            api = names.api
        )
    };
    let wrong = secret_file(&setup.folder.join("wrong.key"), "of another server");
    setup.whole = Some(format!("{whole}{}", cutover(&wrong.display().to_string())));
    let failed = setup.check().failed_steps();
    assert!(failed.len() == 1 && failed[0].starts_with("dns: log in: The name server did not say what it is: status 401"), "{failed:?}");
    setup.whole = Some(format!("{whole}{}", cutover(&key.display().to_string())));
    let checked = setup.check();
    assert_eq!(checked.failed_steps(), Vec::<String>::new());
    assert!(checked.out.contains("PowerDNS authoritative "), "{checked:?}");

    let _agent = Agent::start(&setup).await;
    let manifest = plugins.join("my-dns/manifest.toml");
    for version in ["0.1.0", "0.2.0"] {
        let text = std::fs::read_to_string(&manifest).unwrap().replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
        std::fs::write(&manifest, text).unwrap();
        assert_eq!(setup.run(&["plugin", "approve", "my-dns"]).code, 0);
        let runs = |listed: &Value| {
            let found = listed.as_array().unwrap().iter().find(|found| found["name"] == "my-dns").unwrap();
            found["running"][0]["name"] == "dns" && found["running"][0]["version"] == version
        };
        let mut tries = 0;
        while !runs(&setup.run(&["plugin", "list", "--json"]).json()) {
            tries += 1;
            assert!(tries < 300, "{version} does not run: {}", setup.run(&["plugin", "list"]).out);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cutover_in_rust_builds_holds_every_claim_and_says_what_keeps_it_from_it() {
    let place = tempfile::tempdir().unwrap();
    let Some(names) = Names::start(place.path(), "192.0.2.10").await else { return };
    let project = Project::in_rust(place.path(), "cutover");
    holds_every_claim(&project, &names);
    project.holds(CLAIMS, &[WAVE, &["--faults"]].concat());
    belongs_to_an_agent(&project, &names).await;

    // What the wave says is planned, or refused before anything is touched.
    project.edit("wave.toml", "web01 = [", "web02 = [");
    let refused = project.configured(&[&["plugin", "test"], WAVE].concat());
    assert!(refused.code == 1 && refused.err.contains("This wave cannot be planned: VM web02 is not in this wave."), "{refused:?}");
    project.edit("wave.toml", "web02 = [", "web01 = [");
    project.edit("wave.toml", "www.example.test", "www.example.org");
    let refused = project.configured(&[&["plugin", "test"], WAVE].concat());
    assert!(refused.code == 1 && refused.err.contains("www.example.org. is not in zone example.test."), "{refused:?}");
    assert_eq!(names.records("www"), ["www.example.test 3600 IN A 192.0.2.10"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_twin_of_a_cutover_fails_at_the_right_claim() {
    let place = tempfile::tempdir().unwrap();
    let Some(names) = Names::start(place.path(), "192.0.2.10").await else { return };
    let project = Project::in_rust(place.path(), "cutover");
    secret_file(&project.folder.join("api.key"), API_KEY);
    project.edit("transload.toml", "http://127.0.0.1:8081", &names.api);
    let twins: &[Twin] = &[
        // It takes back what others did meanwhile.
        (("src/lib.rs", "self.replace(&change, &change.done(&before), &before)", "self.server.write(&change, &before)"), &[10]),
    ];
    twins.iter().for_each(|(twin, claims)| project.has_a_twin_that_fails(*twin, claims, WAVE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cutover_in_python_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(names) = Names::start(place.path(), "192.0.2.10").await else { return };
    let Some(project) = Project::in_python(place.path(), "cutover") else { return };
    holds_every_claim(&project, &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cutover_in_javascript_builds_and_holds_every_claim_as_it_was_written() {
    let place = tempfile::tempdir().unwrap();
    let Some(names) = Names::start(place.path(), "192.0.2.10").await else { return };
    let Some(project) = Project::in_javascript(place.path(), "cutover") else { return };
    holds_every_claim(&project, &names);
}
