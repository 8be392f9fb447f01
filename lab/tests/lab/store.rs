//! The object store: signatures, conditional puts, planned faults, tampering.

use crate::support::{Fixture, start};
use hmac::{Hmac, Mac};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A signed request (SigV4, unsigned payload); `base` decides between TLS and plain.
async fn request(
    fixture: &Fixture,
    base: &str,
    method: Method,
    key: &str,
    extra: &[(&str, &str)],
    body: Vec<u8>,
) -> reqwest::Result<Response> {
    let s3 = fixture.lab.s3();
    let host = base.split("//").nth(1).unwrap().to_owned();
    let path = if host.contains(".localhost") { format!("/{key}") } else { format!("/{}/{key}", s3.bucket()) };
    let now = now();
    let scope = format!("{}/us-east-1/s3/aws4_request", &now[..8]);
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{now}\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
    );
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut chain = format!("AWS4{}", s3.secret_key()).into_bytes();
    for step in [&now[..8], "us-east-1", "s3", "aws4_request"] {
        chain = sign(&chain, step);
    }
    let credential = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
        s3.access_key(),
        hex(&sign(&chain, &text))
    );
    let mut request = fixture
        .client
        .request(method, format!("{base}{path}"))
        .header("authorization", credential)
        .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        .header("x-amz-date", now)
        .body(body);
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    request.send().await
}

fn now() -> String {
    let text = jiff::Timestamp::now().to_string();
    format!("{}Z", text.split('.').next().unwrap().replace(['-', ':'], "").trim_end_matches('Z'))
}

async fn put(fixture: &Fixture, key: &str, body: &[u8]) -> StatusCode {
    request(fixture, &fixture.lab.s3().url(), Method::PUT, key, &[], body.to_vec()).await.unwrap().status()
}

async fn get(fixture: &Fixture, key: &str) -> reqwest::Result<Response> {
    request(fixture, &fixture.lab.s3().url(), Method::GET, key, &[], Vec::new()).await
}

#[tokio::test]
async fn objects_go_in_and_out_over_tls_and_plain_in_both_styles() {
    let fixture = start().await;
    let s3 = fixture.lab.s3();
    assert_eq!(put(&fixture, "a/b", b"content").await, StatusCode::OK);
    let hosted = s3.url().replace("127.0.0.1", &format!("{}.localhost", s3.bucket()));
    for base in [s3.url(), s3.plain_url(), hosted] {
        let reply = request(&fixture, &base, Method::GET, "a/b", &[("range", "bytes=1-3")], Vec::new()).await.unwrap();
        assert_eq!(reply.status(), StatusCode::PARTIAL_CONTENT, "{base}");
        assert_eq!(reply.bytes().await.unwrap(), "ont");
    }
    assert_eq!(s3.list_objects("a/").unwrap(), ["a/b"]);
    let anonymous = fixture.client.get(format!("{}/{}/a/b", s3.url(), s3.bucket())).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn of_sixteen_conditional_writers_exactly_one_wins() {
    let fixture = start().await;
    for round in 0..10 {
        let key = format!("race/{round}");
        let writers = (0..16u8).map(|writer| {
            let (fixture, key) = (&fixture, &key);
            async move {
                request(fixture, &fixture.lab.s3().url(), Method::PUT, key, &[("if-none-match", "*")], vec![writer; 2000])
                    .await
                    .unwrap()
                    .status()
            }
        });
        let statuses = futures::future::join_all(writers).await;
        let winner = statuses.iter().position(|status| *status == StatusCode::OK).unwrap();
        assert!(
            statuses.iter().enumerate().all(|(place, status)| place == winner || *status == StatusCode::PRECONDITION_FAILED),
            "{statuses:?}"
        );
        assert_eq!(fixture.lab.s3().read_object(&key).unwrap(), vec![winner as u8; 2000]);
    }
}

#[tokio::test]
async fn requests_fail_as_planned() {
    let fixture = start().await;
    let s3 = fixture.lab.s3();
    s3.set_knobs(|knobs| knobs.fail_next = 1);
    assert_eq!(put(&fixture, "k", b"1").await, StatusCode::SERVICE_UNAVAILABLE);
    s3.set_knobs(|knobs| (knobs.fail_next, knobs.fail_status) = (1, 500));
    assert_eq!(put(&fixture, "k", b"1").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(s3.list_objects("").unwrap().is_empty());

    s3.set_knobs(|knobs| knobs.lose_put_replies = 1);
    assert!(request(&fixture, &s3.url(), Method::PUT, "k", &[], b"2".to_vec()).await.is_err());
    assert_eq!(s3.read_object("k").unwrap(), b"2");

    s3.set_knobs(|knobs| (knobs.drop_next, knobs.only_paths_with) = (1, Some("other".into())));
    assert_eq!(put(&fixture, "k", b"3").await, StatusCode::OK);
    assert!(request(&fixture, &s3.url(), Method::PUT, "other", &[], Vec::new()).await.is_err());

    s3.set_knobs(|knobs| *knobs = lab::s3::Knobs { full: true, ..Default::default() });
    let full = request(&fixture, &s3.url(), Method::PUT, "k", &[], vec![0; 100_000]).await.unwrap();
    assert_eq!(full.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(full.text().await.unwrap().contains("<Code>XMinioStorageFull</Code>"));

    s3.set_knobs(|knobs| *knobs = Default::default());
    assert_eq!(put(&fixture, "big", &vec![7; 100_000]).await, StatusCode::OK);
    s3.set_knobs(|knobs| knobs.truncate_gets = 1);
    assert!(get(&fixture, "big").await.unwrap().bytes().await.is_err());
    assert_eq!(get(&fixture, "big").await.unwrap().bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn tampered_objects_are_served_as_if_nothing_had_happened() {
    let fixture = start().await;
    let s3 = fixture.lab.s3();
    put(&fixture, "left", b"left bytes").await;
    put(&fixture, "right", b"right").await;
    let etag = get(&fixture, "left").await.unwrap().headers()["etag"].clone();
    s3.flip_bit("left", 0).unwrap();
    let reply = get(&fixture, "left").await.unwrap();
    assert_ne!(reply.headers()["etag"], etag);
    assert_eq!(reply.bytes().await.unwrap(), "meft bytes");
    s3.swap_objects("left", "right").unwrap();
    assert_eq!(get(&fixture, "left").await.unwrap().bytes().await.unwrap(), "right");
    s3.truncate_object("right", 4).unwrap();
    assert_eq!(get(&fixture, "right").await.unwrap().bytes().await.unwrap(), "meft");
    s3.delete_object("right").unwrap();
    assert_eq!(get(&fixture, "right").await.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(s3.flip_bit("../escape", 0).is_err());
}

#[tokio::test]
async fn keys_of_one_hundred_and_fifty_characters_are_stored() {
    let fixture = start().await;
    let key = format!("vm/{}/{}", "v".repeat(80), "s".repeat(66));
    assert_eq!((key.len(), put(&fixture, &key, b"content").await), (150, StatusCode::OK));
    assert_eq!(get(&fixture, &key).await.unwrap().bytes().await.unwrap(), "content");
}

#[tokio::test]
async fn a_bucket_that_nobody_made_is_not_made_by_a_write_into_it() {
    let fixture = start().await;
    for method in [Method::PUT, Method::GET] {
        let response = fixture.client.request(method, format!("{}/nowhere/key", fixture.lab.s3().url())).body("x").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(response.text().await.unwrap().contains("<Code>NoSuchBucket</Code>"));
    }
}
