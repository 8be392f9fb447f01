use transload_guest::fault::FaultKind;
use transload_guest::ports::SecretForm;

use super::*;
use crate::script::{Script, Sealed, reply, settings};

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn put(settings: &Settings, replies: Vec<Response>) -> (Result<(), Fault>, Request) {
    let script = Script::answering(replies);
    let result = Store { host: &script, settings }.put("vm/a", &Sealed(b"sealed".to_vec()));
    let request = script.seen.borrow()[0].0.clone();
    (result, request)
}

fn get(range: Option<Extent>, answer: Response) -> Result<(), Fault> {
    let script = Script::answering([answer]);
    Store { host: &script, settings: &settings() }.get("vm/a", range).map(|_| ())
}

#[test]
fn a_put_is_conditional_carries_its_checksum_and_signs_both() {
    let (result, request) = put(&settings(), vec![reply(200, &[], "")]);
    assert_eq!(result, Ok(()));
    assert_eq!(request.url, "https://s3.test/my-bucket/vm/a");
    assert_eq!(header(&request, "if-none-match"), Some("*"));
    assert_eq!(header(&request, "x-amz-checksum-crc32c"), Some(STANDARD.encode(crc32c::crc32c(b"sealed").to_be_bytes()).as_str()));
    assert_eq!(header(&request, "x-amz-content-sha256"), Some(UNSIGNED));
    let authorization = header(&request, "authorization").unwrap();
    let signed = "SignedHeaders=host;if-none-match;x-amz-checksum-crc32c;x-amz-content-sha256;x-amz-date,";
    assert!(authorization.contains("Credential=AKID/20150830/eu-1/s3/aws4_request") && authorization.contains(signed), "{authorization}");
}

#[test]
fn a_signed_payload_names_the_digest_of_the_body() {
    let mut settings = settings();
    settings.payload = Payload::Signed;
    settings.checksum = Checksum::None;
    let (_, request) = put(&settings, vec![reply(200, &[], "")]);
    assert_eq!(header(&request, "x-amz-content-sha256"), Some(hex(&sha2::Sha256::digest(b"sealed")).as_str()));
    assert_eq!(header(&request, "x-amz-checksum-crc32c"), None);
}

#[test]
fn a_lost_race_is_a_conflict_and_an_undecided_one_is_asked_again() {
    let precondition = "<Error><Code>PreconditionFailed</Code></Error>";
    assert_eq!(put(&settings(), vec![reply(412, &[], precondition)]).0.unwrap_err().kind, FaultKind::Conflict);
    let undecided = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    assert_eq!(put(&settings(), vec![reply(409, &[], undecided)]).0.unwrap_err().kind, FaultKind::Unavailable);
}

#[test]
fn a_body_larger_than_one_request_takes_is_refused_before_a_packet_leaves() {
    struct Huge;
    impl transload_guest::store::Body for Huge {
        fn length(&self) -> u64 {
            OBJECT_BYTES_MAX + 1
        }
    }
    impl transload_guest::store::Digests for Huge {
        fn digest(&self, _: Digest) -> Result<Vec<u8>, Fault> {
            panic!("nothing to digest")
        }
    }
    struct Deaf;
    impl transload_guest::ports::Http for Deaf {
        fn send(&self, _: &Request, _: &[BodyPart]) -> Result<Response, Fault> {
            panic!("nothing to send")
        }
    }
    impl transload_guest::ports::Secrets for Deaf {
        fn sign_chain(&self, _: &str, _: SecretForm, _: &[u8], _: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
            panic!("nothing to sign")
        }
    }
    impl transload_guest::ports::Clock for Deaf {
        fn now(&self) -> u64 {
            0
        }
    }
    impl transload_guest::store::Transfer for Deaf {
        type Body = Huge;
        type Incoming = crate::script::Reply;
        fn put(&self, _: &Request, _: &Huge) -> Result<Response, Fault> {
            panic!("nothing to put")
        }
        fn get(&self, _: &Request, _: Option<Extent>) -> Result<crate::script::Reply, Fault> {
            panic!("nothing to get")
        }
    }
    assert_eq!(Store { host: &Deaf, settings: &settings() }.put("k", &Huge).unwrap_err().kind, FaultKind::Invalid);
}

#[test]
fn a_ranged_get_takes_exactly_206_and_exactly_its_length() {
    let range = Some(Extent::new(10, 5));
    assert_eq!(get(range, reply(206, &[("content-length", "5")], "")), Ok(()));
    assert_eq!(get(range, reply(206, &[("content-length", "3")], "")).unwrap_err().kind, FaultKind::Invalid);
    assert_eq!(get(range, reply(206, &[("content-length", "9")], "")).unwrap_err().kind, FaultKind::Corrupt);
    assert_eq!(get(range, reply(206, &[], "")).unwrap_err().kind, FaultKind::Corrupt);
    assert_eq!(get(range, reply(200, &[("content-length", "5")], "")).unwrap_err().kind, FaultKind::Unsupported);
    assert_eq!(get(range, reply(416, &[], "<Error><Code>InvalidRange</Code></Error>")).unwrap_err().kind, FaultKind::Invalid);
    assert_eq!(get(None, reply(206, &[("content-length", "5")], "")).unwrap_err().kind, FaultKind::Corrupt);
}

#[test]
fn the_error_document_of_a_get_decides_its_kind() {
    let missing = reply(404, &[], "<Error><Code>NoSuchKey</Code></Error>");
    assert_eq!(get(None, missing).unwrap_err().kind, FaultKind::NotFound);
    let slow = reply(503, &[("retry-after", "2")], "<Error><Code>SlowDown</Code></Error>");
    let fault = get(None, slow).unwrap_err();
    assert_eq!((fault.kind, fault.retry_after_ms), (FaultKind::Throttled, Some(2000)));
}

#[test]
fn head_tells_a_missing_object_from_a_refusal() {
    let head = |answer| Store { host: &Script::answering([answer]), settings: &settings() }.head("k");
    assert_eq!(head(reply(200, &[("content-length", "77")], "")), Ok(Some(77)));
    assert_eq!(head(reply(404, &[], "")), Ok(None));
    assert_eq!(head(reply(403, &[], "")).unwrap_err().kind, FaultKind::Denied);
    assert_eq!(head(reply(200, &[], "")).unwrap_err().kind, FaultKind::Corrupt);
}

#[test]
fn a_listing_asks_for_encoded_keys_and_goes_on_where_the_last_page_ended() {
    let mut settings = settings();
    settings.prefix = "site/".into();
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t+1</NextContinuationToken></ListBucketResult>";
    let script = Script::answering([reply(200, &[], page), reply(200, &[], "<ListBucketResult/>")]);
    let store = Store { host: &script, settings: &settings };
    let first = store.entries("vm/", None).unwrap();
    assert_eq!(store.entries("vm/", first.next.as_deref()).unwrap().next, None);
    let seen = script.seen.borrow();
    assert_eq!(seen[0].0.url, "https://s3.test/my-bucket?encoding-type=url&list-type=2&max-keys=1000&prefix=site%2Fvm%2F");
    assert!(seen[1].0.url.contains("continuation-token=t%2B1&"), "{}", seen[1].0.url);
}

#[test]
fn a_batch_delete_checks_and_signs_its_own_small_body() {
    let script = Script::answering([reply(200, &[], "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>")]);
    let verdicts = Store { host: &script, settings: &settings() }.delete(&["a".to_owned()]).unwrap();
    assert_eq!(verdicts, [Ok(())]);
    let seen = script.seen.borrow();
    let (request, body, _) = &seen[0];
    assert_eq!(request.url, "https://s3.test/my-bucket?delete=");
    assert_eq!(header(request, "x-amz-content-sha256"), Some(hex(&sha2::Sha256::digest(body)).as_str()));
    assert_eq!(header(request, "x-amz-checksum-crc32c"), Some(STANDARD.encode(crc32c::crc32c(body).to_be_bytes()).as_str()));
}

#[test]
fn deleting_nothing_sends_nothing_and_too_many_keys_are_refused() {
    let (script, settings) = (Script::default(), settings());
    let store = Store { host: &script, settings: &settings };
    assert_eq!(store.delete(&[]).unwrap().len(), 0);
    let many = vec!["k".to_owned(); DELETE_KEYS_MAX + 1];
    assert_eq!(store.delete(&many).unwrap_err().kind, FaultKind::Invalid);
}
