//! The control socket does what the library does.

use crate::support::Fixture;
use lab::{ControlServer, Lab, LabOptions, Size, populate};
use std::sync::Arc;

async fn ask(client: &reqwest::Client, url: String, body: Option<&str>) -> (bool, String) {
    let request = match body {
        Some(body) => client.post(url).body(body.to_owned()),
        None => client.get(url),
    };
    let reply = request.send().await.unwrap();
    (reply.status().is_success(), reply.text().await.unwrap())
}

#[tokio::test]
async fn writes_knobs_and_digests_work_by_remote_control() {
    let directory = tempfile::tempdir().unwrap();
    let lab = Arc::new(Lab::start(LabOptions::new(directory.path())).await.unwrap());
    populate(lab.vcenter(), Size::Small).await.unwrap();
    let control = ControlServer::start(lab.clone()).await.unwrap();
    let client = crate::support::client(lab.authority_pem());
    let post = async |path: &str, body: &str| ask(&client, format!("{}{path}", control.url()), Some(body)).await;

    let (done, _) = post("/write", r#"{"vm": "web01", "disk": 2000, "offset": 512, "base64": "AAAA"}"#).await;
    assert!(!done, "three bytes are no sector");
    let (done, reply) =
        post("/workload", r#"{"vm": "web01", "disk": 2000, "seed": 1, "workload": {"pattern": "scattered", "writes": 3, "bytes": 512}}"#)
            .await;
    assert_eq!((done, reply.as_str()), (true, r#"{"bytes":1536}"#));
    let (done, reply) =
        post("/knob", r#"{"vcenter": {"folder_faults": [{"after": 2, "spoil": {"status": 503}}]}, "s3": {"fail_next": 2}}"#).await;
    assert!(done && lab.s3().knobs().fail_next == 2 && lab.vcenter().knobs().folder_faults[0].after == 2, "{reply}");
    let (done, reply) = post("/knob", r#"{"vcenter": {"no_such_knob": 1}}"#).await;
    assert!(!done && reply.contains("no_such_knob"), "{reply}");
    let (done, reply) = post("/snapshot", r#"{"vm": "app01", "name": "by hand"}"#).await;
    assert!(done, "{reply}");
    let snapshot = lab.vcenter().snapshots()[0].1.id.clone();
    let (done, reply) = post("/snapshot", &format!(r#"{{"digest": "{snapshot}"}}"#)).await;
    assert!(done && reply.matches("\"digest\":\"").count() == 3, "{reply}");
    let (done, digests) = ask(&client, format!("{}/digests", control.url()), None).await;
    assert!(done && digests == reply);
}

#[tokio::test]
async fn a_lab_starts_again_in_a_used_folder() {
    let fixture: Fixture = crate::support::start().await;
    fixture.add_vm("web", 8 << 20).await;
    let directory = fixture.lab.directory().to_owned();
    drop(fixture.lab);
    let again = Lab::start(LabOptions::new(directory)).await.unwrap();
    assert!(again.vcenter().vms().is_empty());
}
