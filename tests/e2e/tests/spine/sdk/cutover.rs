//! A new cutover, in each language: names at a real PowerDNS.

use e2e::names::{API_KEY, Names};
use e2e::setup::secret_file;

use super::Project;

const CLAIMS: usize = 11;
const ASKS: &str = "(reads and replaces address records of the zone)";
const WAVE: &[&str] = &["--wave", "wave.toml"];

fn holds_every_claim(project: &Project, names: &Names) {
    secret_file(&project.folder.join("api.key"), API_KEY);
    project.is_approved(("http://127.0.0.1:8081", &names.api), ASKS);
    project.holds(CLAIMS, WAVE);
    assert_eq!(names.records("www"), ["www.example.test 3600 IN A 192.0.2.10"], "the zone is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cutover_in_rust_builds_holds_every_claim_and_says_what_keeps_it_from_it() {
    let place = tempfile::tempdir().unwrap();
    let Some(names) = Names::start(place.path(), "192.0.2.10").await else { return };
    let project = Project::in_rust(place.path(), "cutover");
    holds_every_claim(&project, &names);
    project.holds(CLAIMS, &[WAVE, &["--faults"]].concat());

    // What the wave says is planned, or refused before anything is touched.
    project.edit("wave.toml", "web01 = [", "web02 = [");
    let refused = project.configured(&[&["plugin", "test"], WAVE].concat());
    assert!(refused.code == 1 && refused.err.contains("This wave cannot be planned: VM web02 is not in this wave."), "{refused:?}");
    project.edit("wave.toml", "web02 = [", "web01 = [");
    project.edit("wave.toml", "www.example.test", "www.example.org");
    let refused = project.configured(&[&["plugin", "test"], WAVE].concat());
    assert!(refused.code == 1 && refused.err.contains("www.example.org. is not in zone example.test."), "{refused:?}");
    assert_eq!(names.records("www"), ["www.example.test 3600 IN A 192.0.2.10"]);

    // A twin that takes back what others did fails at that claim, and at no claim before it.
    project.edit("wave.toml", "www.example.org", "www.example.test");
    project.edit("src/lib.rs", "replace(&change, &change.done(&before), &before)", "Server::open()?.write(&change, &before)");
    assert_eq!(project.build(&[]).code, 0);
    project.install(&project.folder.join("plugins"));
    assert_eq!(project.configured(&["plugin", "approve", "my-dns"]).code, 0);
    let tried = project.configured(&[&["plugin", "test", "--json"], WAVE].concat());
    let claims = tried.json();
    let failed = claims.as_array().unwrap().iter().find(|claim| !claim["outcome"]["fails"].is_null()).unwrap();
    assert_eq!((tried.code, failed["number"].as_u64()), (3, Some(10)), "{tried:?}");
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
