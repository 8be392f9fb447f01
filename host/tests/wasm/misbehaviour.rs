//! What a guest does wrong costs one call, and never a byte, a secret or the host.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use transload::model::{FaultKind, VmRef};
use transload::pipeline::source::Source;

use super::setup::{PASSWORD, World};
use super::source::vm;

#[tokio::test]
async fn a_trap_ends_the_call_and_the_next_one_gets_a_fresh_instance() {
    let world = World::start().await;
    let source = world.source().await;
    for _ in 0..5 {
        let fault = source.preflight(&vm("trap")).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        assert!(fault.message.starts_with("plugin src failed in preflight: "), "{fault}");
        assert!(fault.message.contains("on purpose"), "{fault}");
        assert!(source.inventory(None).await.is_ok());
    }
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_limit_and_holds_nobody_up() {
    let world = World::start().await;
    let source = world.source().await;
    let looping = vm("loop");
    let started = now();
    let (looped, listed) = tokio::join!(source.preflight(&looping), async {
        source.inventory(None).await.unwrap();
        now() - started
    });
    assert!(listed < Duration::from_millis(500), "another call waited {listed:?}");
    let fault = looped.unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Unavailable, "plugin src did not answer preflight in time"));
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&(now() - started)));
    assert!(source.inventory(None).await.is_ok());
}

#[tokio::test]
async fn a_guest_that_hoards_memory_is_ended_by_name() {
    let world = World::start().await;
    let fault = world.source().await.preflight(&vm("hoard")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Internal);
    assert_eq!(fault.message, "plugin src failed in preflight: it needs more than its 16 MiB of memory");
}

#[tokio::test]
async fn a_flood_of_data_into_the_host_is_stopped() {
    let world = World::start().await;
    world.reinstall_source("16 MiB", "256 MiB");
    let fault = world.source().await.preflight(&vm("flood")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Internal, "{fault}");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_broken_instance_behind() {
    let world = World::start().await;
    let source = world.source().await;
    for _ in 0..4 {
        let looping = vm("loop");
        assert!(tokio::time::timeout(Duration::from_millis(50), source.preflight(&looping)).await.is_err());
    }
    assert!(source.inventory(None).await.is_ok());
}

#[tokio::test]
async fn only_what_is_granted_is_reached() {
    let world = World::start().await;
    let source = world.source().await;
    let url = world.url();
    for (target, kind) in [
        ("https://elsewhere.invalid/disk".to_owned(), FaultKind::Denied),
        (format!("{url}/admin"), FaultKind::Denied),
        (format!("{url}/disk/../admin"), FaultKind::Invalid),
        (format!("{url}/disk/%2e%2e/admin"), FaultKind::Invalid),
        (url.replace("https://", "http://"), FaultKind::Denied),
        (url.replace("https://", "https://user@"), FaultKind::Invalid),
    ] {
        let fault = source.definition(&vm(&format!("get {target}"))).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{target}: {fault}");
    }
    assert!(world.server.asked().is_empty());
    assert_eq!(source.definition(&vm(&format!("get {url}/gone"))).await.unwrap().name, "404 ");
    assert_eq!(source.definition(&vm(&format!("get {url}/moved"))).await.unwrap().name, "302 ");
}

#[tokio::test]
async fn a_small_response_has_a_largest_size() {
    let world = World::start().await;
    let source = world.source().await;
    let fault = source.definition(&vm(&format!("get {}/long", world.url()))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Corrupt);
    assert!(fault.message.ends_with("is longer than the 8388608 bytes that are granted"), "{fault}");
}

#[tokio::test]
async fn a_peek_budget_ends() {
    let world = World::start().await;
    let source = world.source().await;
    let told = source.definition(&vm("peek 30000")).await.unwrap().name;
    assert_eq!(told, "90000 the plugin's peek budget of 102400 bytes a call is used up");
    assert_eq!(source.bytes_peeked(), 90_000);
    let told = source.definition(&vm("peek 65537")).await.unwrap().name;
    assert_eq!(told, "0 a peek reads at most 65536 bytes; 65537 were asked for");
}

#[tokio::test]
async fn handles_that_a_guest_keeps_end_with_its_call() {
    let world = World::start().await;
    let source = world.source().await;
    // Were the instance kept, its table of handles would be full after 4,096 calls.
    for _ in 0..4200 {
        assert_eq!(source.definition(&vm("keep it")).await.unwrap().name, "kept");
    }
}

#[tokio::test]
async fn a_secret_goes_where_it_is_granted_and_nowhere_else() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(source.describe().await.unwrap().product, "200 welcome");
    let body = String::from_utf8(world.server.asked()[0].body.clone()).unwrap();
    assert_eq!(body, "<password>hunter2 &amp; &lt;co&gt;</password>");

    let seen = source.definition(&vm("headers x")).await.unwrap().name;
    assert!(seen.contains("authorization: Basic c3ZjOmh1bnRlcjIgJiA8Y28+"), "{seen}");
    assert!(seen.contains("x-guest: hello"), "{seen}");

    world.reinstall_source("origins = [\"{config.url}\"]", "origins = []");
    let fault = world.source().await.describe().await.unwrap_err();
    assert_eq!(fault.message, format!("the secret \"password\" may not go to {}", world.url()));
}

#[tokio::test]
async fn secrets_are_masked_in_logs_and_faults() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_max_level(tracing::Level::TRACE).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::start().await;
    let source = world.source().await;

    for form in [PASSWORD, "hunter2 &amp; &lt;co&gt;", "aHVudGVyMiAmIDxjbz4="] {
        source.definition(&vm(&format!("log it is {form}, really\nand a second line"))).await.unwrap();
        let fault = source.definition(&vm(&format!("fault wrong password {form}"))).await.unwrap_err();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Auth, "wrong password …"));
    }
    source.describe().await.unwrap();
    let trapped = VmRef { id: "trap".to_owned(), fingerprint: PASSWORD.to_owned() };
    source.preflight(&trapped).await.unwrap_err();

    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("it is …, really\\nand a second line"), "{written}");
    assert!(written.contains("src"), "{written}");
    for form in ["hunter2", "aHVudGVyMiAmIDxjbz4", "c3ZjOmh1bnRlcjI"] {
        assert!(!written.contains(form), "{form} in {written}");
    }
}

#[tokio::test]
async fn a_plugin_that_asks_for_more_than_it_gets_is_not_started() {
    let world = World::start().await;
    world.reinstall_source(
        "[limits]",
        "[[http]]\norigin = \"https://telemetry.test\"\nmethods = [\"POST\"]\npaths = [\"/\"]\nreason = \"statistics\"\n[limits]",
    );
    let refused = world.try_source(&world.usual_endpoint()).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "plugin src is refused; none of its code was run:\n  - the plugin asks for https://telemetry.test (statistics); approve it with an \
         endpoint for this origin, or use another plugin"
    );
}

#[tokio::test]
async fn a_component_that_imports_the_unknown_is_not_started() {
    let world = World::start().await;
    let manifest = "name = \"odd\"\nkind = \"source\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"echo.wasm\"\n\
                    [[http]]\norigin = \"{config.url}\"\nmethods = [\"GET\"]\npaths = [\"/\"]\nreason = \"r\"\n\
                    [[secret]]\nname = \"password\"\nreason = \"r\"\n";
    let component = wat::parse_str("(component (import \"wasi:sockets/tcp@0.2.6\" (instance (export \"f\" (func)))))").unwrap();
    world.install("echo-source", manifest, &component);
    let refused = world.try_source(&world.usual_endpoint()).await.err().unwrap();
    assert_eq!(
        refused.reasons,
        ["it imports wasi:sockets/tcp@0.2.6: raw network is never granted; send requests by transload:plugin/http (componentize-py: \
         --stub-wasi; jco: disableFeatures)"]
    );
    world.install("echo-source", manifest, b"no component");
    let refused = world.try_source(&world.usual_endpoint()).await.err().unwrap();
    assert!(refused.reasons[0].starts_with("its component is no WebAssembly component that this host can run"), "{refused}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "this test measures real time: that a limit ends a call")]
    Instant::now()
}
