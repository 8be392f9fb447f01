//! The same S3 in other words: the bucket in the host's name, and signatures that cover the body.

use e2e::site::s3_sink;
use e2e::{Agent, MIB, Setup, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_reached_by_its_own_host_name_at_an_address_that_no_resolver_knows() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    let setup = site.setup(&["db01"]);
    let by_name = site.lab.s3().url().replace("127.0.0.1", "localhost");
    let of_bucket = by_name.replace("localhost", "transload.localhost");
    let trust = format!("trust = {{ ca-file = {:?} }}\naddress = \"127.0.0.1\"", site.ca_file());
    let sink = setup.sink.lines().take(5).collect::<Vec<_>>().join("\n").replace(&site.lab.s3().url(), &by_name);
    let sink = sink.replace("access-key =", "addressing = \"virtual-host\", access-key =");
    let endpoint = |origin: &str| format!("[[sink.endpoint]]\norigin = \"{origin}\"\n{trust}\n");
    let setup = Setup { sink: format!("{sink}\n{}{}", endpoint(&by_name), endpoint(&of_bucket)), ..setup };
    assert_eq!(setup.check().failed_steps(), Vec::<String>::new());

    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_restored(&agent, "db01", 1).await;
    assert!(site.lab.s3().list_objects("store.json").unwrap().len() == 1, "keys do not begin with the bucket's name");
    // One that is being answered may be counted as a request already, and not yet by its host.
    let named_by_host = || {
        let counted = site.lab.s3().counters();
        counted.by_virtual_host == counted.requests
    };
    let mut looks = 0;
    while !named_by_host() {
        looks += 1;
        assert!(looks < 100, "each request named the bucket by the host: {:?}", site.lab.s3().counters());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Without TLS the wire may change a body, and the store's checksum header is switched off here: only the signature is left to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_that_the_wire_changed_is_refused_by_the_store_and_sent_again() {
    let site = Site::small(16 * MIB, 4_000_000).await;
    let setup = site.setup(&["db01"]);
    let s3 = site.lab.s3();
    let secret = site.folder().join("s3.secret-key");
    let sink = s3_sink(&s3.plain_url(), s3.bucket(), s3.access_key(), &secret, "plaintext = true");
    let signed = sink.replace("access-key =", "payload = \"signed\", checksum = \"none\", access-key =");
    let setup = Setup { sink: signed, ..setup };
    assert_eq!(setup.check().failed_steps(), Vec::<String>::new());
    s3.set_knobs(|knobs| {
        knobs.flip_puts = 3;
        knobs.only_paths_with = Some("/seg-".to_owned());
    });
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    assert_eq!(agent.ended("db01", 1).await["outcome"], "applied");
    assert_eq!(s3.knobs().flip_puts, 0, "every changed body was met");
    let counted = s3.counters();
    assert!(counted.refused >= 3 && counted.puts_with_hash == counted.puts, "{counted:?}");
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_restored(&agent, "db01", 1).await;
}
