//! How endpoints are reached: pins, expectations, overrides, proxies, and silence.

use e2e::proxy::{PASSWORD, Proxy, USER};
use e2e::setup::secret_file;
use e2e::{Agent, MIB, Setup, Site};

fn only(setup: &Setup) -> String {
    let steps = setup.check().failed_steps();
    println!("{steps:?}");
    assert_eq!(steps.len(), 1, "one thing is wrong and one is said: {steps:?}");
    steps.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_an_endpoint_that_does_not_lead_there_is_named_with_a_fix() {
    let site = Site::small(8 * MIB, 1_000_000).await;
    let setup = site.setup(&["db01"]);
    assert_eq!(setup.check().failed_steps(), Vec::<String>::new());
    let ca = format!("trust = {{ ca-file = {:?} }}", site.ca_file());
    let source = |trust: &str| Setup { source: setup.source.replace(&ca, trust), ..setup.beside("other") };

    let right = site.lab.vcenter().leaf_sha256().to_owned();
    assert_eq!(source(&format!("trust = {{ pin = \"sha256:{right}\" }}")).check().failed_steps(), Vec::<String>::new());
    let said = only(&source(&format!("trust = {{ pin = \"sha256:{}\" }}", "ab".repeat(32))));
    assert!(said.contains(&format!("pin sha256:{right}")), "the pin that was found is there to be copied: {said}");
    let said = only(&source("trust = \"system\""));
    assert!(said.contains(&format!("sha256:{right}")) && said.contains("is not trusted"), "{said}");

    let by_name = |more: &str| {
        let url = site.lab.vcenter().url();
        let named = setup.source.replace(&url, &url.replace("127.0.0.1", "localhost"));
        Setup { source: format!("{named}{more}\n"), ..setup.beside("named") }
    };
    assert_eq!(by_name("").check().failed_steps(), Vec::<String>::new());
    let connections = || site.lab.vcenter().counters().soap_requests;
    let before = connections();
    let outside = by_name("expect = [\"10.0.0.0/8\"]");
    let said = only(&outside);
    assert!(said.contains("outside the expected 10.0.0.0/8; the answer came from resolver"), "{said}");
    let agent = Agent::start(&outside).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!("running: {:?}", agent.status()["missing"]);
    assert!(agent.status()["missing"][0]["message"].as_str().unwrap().contains("outside the expected 10.0.0.0/8"));
    drop(agent);
    assert_eq!(connections(), before, "an address outside the expectation was connected to");

    let elsewhere = |name: &str, more: &str| {
        let url = site.lab.vcenter().url();
        let named = setup.source.replace(&url, &url.replace("127.0.0.1", name));
        Setup { source: format!("{named}{more}\n"), ..setup.beside("elsewhere") }
    };
    let said = only(&elsewhere("no-such-host.invalid", ""));
    assert!(said.contains("no-such-host.invalid"), "{said}");
    let pin = format!("trust = {{ pin = \"sha256:{right}\" }}");
    let overridden = elsewhere("vcenter.example.test", "address = \"127.0.0.1\"");
    let overridden = Setup { source: overridden.source.replace(&ca, &pin), ..overridden };
    assert_eq!(overridden.check().failed_steps(), Vec::<String>::new());

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Setup { source: setup.source.replace(&site.lab.vcenter().url(), &format!("https://{closed}")), ..setup.beside("nobody") };
    assert!(only(&nobody).to_lowercase().contains("refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_through_a_proxy_with_a_login_and_nothing_past_it() {
    let site = Site::small(16 * MIB, 4_000_000).await;
    let proxy = Proxy::start().await;
    let setup = site.setup(&["db01"]);
    let password = secret_file(&site.folder().join("proxy.password"), PASSWORD);
    let through = |file: &std::path::Path, more: &str| {
        let line = format!("proxy = {{ url = \"{}\", user = \"{USER}\", password-file = {file:?}{more} }}\n", proxy.url);
        Setup { source: format!("{}{line}", setup.source), sink: format!("{}{line}", setup.sink), ..setup.beside("proxied") }
    };
    let proxied = through(&password, "");
    assert_eq!(proxied.check().failed_steps(), Vec::<String>::new());
    let before = proxy.let_through();
    let agent = Agent::start(&proxied).await;
    agent.settled("db01", 2).await;
    site.assert_replica(&agent, "db01", 2).await;
    assert!(proxy.let_through() > before && proxy.refused() == 0, "{} tunnels", proxy.let_through());
    drop(agent);

    let wrong = secret_file(&site.folder().join("wrong.password"), "wrong");
    let steps = through(&wrong, "").check().failed_steps();
    println!("{steps:?}");
    assert!(steps.len() == 2 && steps.iter().all(|step| step.contains("the proxy wants a login")), "{steps:?}");
    let before = proxy.let_through();
    assert_eq!(through(&wrong, ", no-proxy = [\"127.0.0.1\"]").check().failed_steps(), Vec::<String>::new());
    assert_eq!(proxy.let_through(), before);
}
