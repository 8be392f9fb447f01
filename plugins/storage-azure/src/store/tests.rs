use super::*;
use crate::script::{Script, Sealed, refusal, reply, settings};

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn put(answer: Response) -> (Result<(), Fault>, Request) {
    let script = Script::answering([answer]);
    let result = Store { host: &script, settings: &settings() }.put("vm/a", &Sealed(b"sealed".to_vec()));
    let request = script.seen.borrow()[0].0.clone();
    (result, request)
}

fn get(range: Option<Extent>, answer: Response) -> Result<(), Fault> {
    let script = Script::answering([answer]);
    Store { host: &script, settings: &settings() }.get("vm/a", range).map(|_| ())
}

fn delete(keys: &[&str], answers: Vec<Response>) -> (Result<Vec<Result<(), Fault>>, Fault>, usize) {
    let script = Script::answering(answers);
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let result = Store { host: &script, settings: &settings() }.delete(&keys);
    let sent = script.seen.borrow().len();
    (result, sent)
}

#[test]
fn a_put_is_conditional_and_signed() {
    let (result, request) = put(reply(201, &[], ""));
    assert_eq!(result, Ok(()));
    assert_eq!((request.method, request.url.as_str()), (Method::Put, "https://acct1.test/my-container/vm/a"));
    assert_eq!(header(&request, "if-none-match"), Some("*"));
    assert_eq!(header(&request, "x-ms-blob-type"), Some("BlockBlob"));
    assert!(header(&request, "authorization").unwrap().starts_with("SharedKey acct1:"));
}

#[test]
fn the_signature_covers_the_length_of_the_body_and_the_range_of_a_get() {
    let script =
        Script::answering([reply(201, &[], ""), reply(201, &[], ""), reply(200, &[], ""), reply(206, &[("content-length", "4")], "")]);
    let settings = settings();
    let store = Store { host: &script, settings: &settings };
    store.put("a", &Sealed(b"1".to_vec())).unwrap();
    store.put("a", &Sealed(b"12".to_vec())).unwrap();
    store.get("a", None).unwrap();
    store.get("a", Some(Extent::new(3, 4))).unwrap();
    let seen = script.seen.borrow();
    let signature = |index: usize| header(&seen[index].0, "authorization").unwrap();
    assert_ne!(signature(0), signature(1));
    assert_ne!(signature(2), signature(3));
    assert_eq!(seen[3].2, Some(Extent::new(3, 4)), "the host writes the range that was signed");
}

#[test]
fn a_lost_race_is_a_conflict_and_a_container_that_goes_away_is_none() {
    for lost in [refusal(409, "BlobAlreadyExists"), refusal(412, "ConditionNotMet"), reply(412, &[], "")] {
        let fault = put(lost).0.unwrap_err();
        assert_eq!(fault, Fault::conflict("vm/a exists already in container my-container."));
    }
    assert_eq!(put(refusal(409, "ContainerBeingDeleted")).0.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(put(refusal(404, "ContainerNotFound")).0.unwrap_err().kind, FaultKind::NotFound);
}

#[test]
fn a_body_larger_than_one_request_takes_is_refused_before_a_packet_leaves() {
    struct Huge;
    impl transload_guest::store::Body for Huge {
        fn length(&self) -> u64 {
            OBJECT_BYTES_MAX + 1
        }
    }
    struct Deaf;
    impl transload_guest::ports::Http for Deaf {
        fn send(&self, _: &Request, _: &[transload_guest::http::BodyPart]) -> Result<Response, Fault> {
            panic!("nothing to send")
        }
    }
    impl transload_guest::ports::Clock for Deaf {
        fn now(&self) -> u64 {
            0
        }
    }
    impl crate::ports::AccountKey for Deaf {
        fn mac(&self, _: &str) -> Result<Vec<u8>, Fault> {
            panic!("nothing to sign")
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
    assert_eq!(get(range, refusal(416, "InvalidRange")).unwrap_err().kind, FaultKind::Invalid);
    assert_eq!(get(None, reply(206, &[("content-length", "5")], "")).unwrap_err().kind, FaultKind::Corrupt);
}

#[test]
fn the_error_code_of_a_get_decides_its_kind() {
    assert_eq!(get(None, refusal(404, "BlobNotFound")).unwrap_err().kind, FaultKind::NotFound);
    let busy = reply(503, &[("retry-after", "2")], "<Error><Code>ServerBusy</Code></Error>");
    let fault = get(None, busy).unwrap_err();
    assert_eq!((fault.kind, fault.retry_after_ms), (FaultKind::Throttled, Some(2000)));
}

#[test]
fn head_tells_a_missing_object_from_a_missing_container_and_from_a_refusal() {
    let head = |answer| Store { host: &Script::answering([answer]), settings: &settings() }.head("k");
    let coded = |status, code| reply(status, &[("x-ms-error-code", code)], "");
    assert_eq!(head(reply(200, &[("content-length", "77")], "")), Ok(Some(77)));
    assert_eq!(head(coded(404, "BlobNotFound")), Ok(None));
    assert_eq!(head(reply(404, &[], "")), Ok(None));
    let missing = head(coded(404, "ContainerNotFound")).unwrap_err();
    assert!(missing.kind == FaultKind::NotFound && missing.message.contains("no container my-container"), "{missing}");
    assert_eq!(head(coded(403, "AuthenticationFailed")).unwrap_err().kind, FaultKind::Auth);
    assert_eq!(head(reply(200, &[], "")).unwrap_err().kind, FaultKind::Corrupt);
}

#[test]
fn a_listing_goes_on_where_the_last_page_ended() {
    let mut settings = settings();
    settings.prefix = "site/".into();
    let page = |next: &str| format!("<EnumerationResults><Blobs/><NextMarker>{next}</NextMarker></EnumerationResults>");
    let script = Script::answering([reply(200, &[], &page("t+1")), reply(200, &[], &page(""))]);
    let store = Store { host: &script, settings: &settings };
    let first = store.entries("vm/", None).unwrap();
    assert_eq!(store.entries("vm/", first.next.as_deref()).unwrap().next, None);
    let seen = script.seen.borrow();
    let url = "https://acct1.test/my-container?restype=container&comp=list&maxresults=1000&prefix=site%2Fvm%2F";
    assert_eq!(seen[0].0.url, url);
    assert_eq!(seen[1].0.url, format!("{url}&marker=t%2B1"));
}

#[test]
fn each_deletion_has_its_own_verdict_and_what_is_gone_counts_as_deleted() {
    let answers = vec![reply(202, &[], ""), refusal(404, "BlobNotFound"), refusal(409, "SnapshotsPresent"), reply(202, &[], "")];
    let (verdicts, sent) = delete(&["a", "b", "c", "d"], answers);
    let verdicts = verdicts.unwrap();
    assert_eq!(sent, 4);
    assert!(verdicts[0].is_ok() && verdicts[1].is_ok() && verdicts[3].is_ok());
    let kept = verdicts[2].as_ref().unwrap_err();
    assert!(kept.kind == FaultKind::Denied && kept.message.contains("delete c") && kept.message.contains("SnapshotsPresent"), "{kept}");
}

#[test]
fn what_befalls_every_key_alike_ends_a_deletion_at_once() {
    for (status, code, kind) in [(404, "ContainerNotFound", FaultKind::NotFound), (403, "AuthenticationFailed", FaultKind::Auth)] {
        let (verdicts, sent) = delete(&["a", "b", "c"], vec![reply(202, &[], ""), refusal(status, code)]);
        assert_eq!((verdicts.unwrap_err().kind, sent), (kind, 2), "{code}");
    }
}

#[test]
fn a_deletion_that_was_sent_away_is_its_own_and_three_in_a_row_end_the_call() {
    let busy = || refusal(503, "ServerBusy");
    let gone = || reply(202, &[], "");
    let (verdicts, sent) = delete(&["a", "b", "c", "d", "e"], vec![busy(), gone(), busy(), busy(), gone()]);
    let kinds: Vec<_> = verdicts.unwrap().into_iter().map(|verdict| verdict.err().map(|fault| fault.kind)).collect();
    let throttled = Some(FaultKind::Throttled);
    assert_eq!((kinds, sent), (vec![throttled, None, throttled, throttled, None], 5));
    let (verdicts, sent) = delete(&["a", "b", "c", "d", "e"], vec![gone(), busy(), busy(), busy()]);
    let kinds: Vec<_> = verdicts.unwrap().into_iter().map(|verdict| verdict.err().map(|fault| fault.kind)).collect();
    assert_eq!((kinds, sent), (vec![None, throttled, throttled, throttled, throttled], 4));
}

#[test]
fn deleting_nothing_sends_nothing_and_too_many_keys_are_refused() {
    assert_eq!(delete(&[], Vec::new()), (Ok(Vec::new()), 0));
    let (refused, sent) = delete(&["k"; DELETE_KEYS_MAX + 1], Vec::new());
    assert_eq!((refused.unwrap_err().kind, sent), (FaultKind::Invalid, 0));
}

#[test]
fn the_account_says_what_it_is_and_one_with_folders_is_unsupported() {
    let product = |headers: &[(&str, &str)]| Store { host: &Script::answering([reply(200, headers, "")]), settings: &settings() }.product();
    let azure = [("server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"), ("x-ms-version", "2021-12-02")];
    assert_eq!(
        product(&azure).unwrap(),
        "Azure Blob Storage at https://acct1.test, container my-container (Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0, version 2021-12-02)"
    );
    assert!(product(&[("x-ms-is-hns-enabled", "false")]).is_ok());
    assert_eq!(product(&[("x-ms-is-hns-enabled", "true")]).unwrap_err().kind, FaultKind::Unsupported);
    let refused = Store { host: &Script::answering([refusal(403, "AuthorizationFailure")]), settings: &settings() }.product();
    assert_eq!(refused.unwrap_err().kind, FaultKind::Denied);
}
