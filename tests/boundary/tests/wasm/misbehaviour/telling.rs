//! What a guest says, and who may hear it: secrets, floods, and lines that pretend to be others.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::subscriber::DefaultGuard;
use transload::log::sink::Sink;
use transload::model::{DiskId, FaultKind, VmRef};
use transload::pipeline::source::{Changes, Source};

use super::super::setup::{PASSWORD, SIGNING_KEY, World};
use super::super::source::vm;
use super::{Works, definition, ends, preflight, said};

#[tokio::test]
async fn secrets_are_masked_in_logs_and_faults() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    let source = world.source().await;

    for form in [PASSWORD, "hunter2 &amp; &lt;co&gt;", "aHVudGVyMiAmIDxjbz4="] {
        ends(source.definition(&vm(&format!("log it is {form}, really\nand a second line")))).await.unwrap();
        assert_eq!(definition(&source, &format!("fault wrong password {form}")).await, said(FaultKind::Auth, "wrong password …"));
    }
    ends(source.describe()).await.unwrap();
    let trapped = VmRef { id: "trap".to_owned(), fingerprint: PASSWORD.to_owned() };
    ends(source.preflight(&trapped)).await.unwrap_err();

    let written = lines.text();
    assert!(written.contains("it is …, really\\nand a second line"), "{written}");
    assert!(written.contains("src"), "{written}");
    for form in ["hunter2", "aHVudGVyMiAmIDxjbz4"] {
        assert!(!written.contains(form), "{form} in {written}");
    }
}

/// A server that repeats what it was sent showed the guest its own login, and the guest wrote it down: `user:password` in base64 is another
/// text than the password in base64.
#[tokio::test]
async fn a_secret_in_the_middle_of_base64_is_masked() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    let source = world.source().await;
    let login = "Basic c3ZjOmh1bnRlcjIgJiA8Y28+";
    ends(source.definition(&vm(&format!("log the server saw {login}")))).await.unwrap();
    let (_, message) = definition(&source, &format!("fault the server saw {login}")).await;
    for shown in [message, lines.text()] {
        assert!(shown.contains("the server saw Basic c3Zj"), "{shown}");
        assert!(!shown.contains("h1bnRlcjIgJiA8Y28"), "{shown}");
    }
}

/// Blanks were folded before secrets were looked for, so that one with two in a row was shown.
#[tokio::test]
async fn a_secret_in_last_words_is_masked_whatever_blanks_it_holds() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    world.secret("password", "correct  horse\tbattery");
    let source = world.source().await;
    let (kind, message) = preflight(&source, "trap no login with correct  horse\tbattery today").await;
    assert_eq!(kind, FaultKind::Internal);
    assert!(message.contains("no login with … today"), "{message}");
    assert!(!lines.text().contains("horse"), "{}", lines.text());
}

/// The end of what is kept fell into the middle of a secret, whose beginning was no secret to the mask.
#[tokio::test]
async fn a_secret_that_is_cut_short_is_masked_as_well() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    let secret = "0123456789abcdef".repeat(20);
    world.secret("password", &secret);
    let source = world.source().await;
    // Each one is folded into a single character, so the one that is cut would stand well within what is shown.
    let words = format!("{secret} ").repeat(14);
    let (_, message) = preflight(&source, &format!("trap {words}")).await;
    assert!(message.contains(" … … …"), "{message}");
    assert!(!message.contains("0123456789"), "{message}");
    assert!(!lines.text().contains("0123456789"), "{}", lines.text());
}

/// Words for people were handed on as they came, and end in the journal, on terminals and in lines of the agent's own.
#[tokio::test]
async fn a_secret_in_words_for_people_is_masked() {
    let world = World::start().await;
    let source = world.source().await;
    let told = format!("the login was svc:{PASSWORD}\nand more");
    let findings = ends(source.preflight(&vm(&format!("tell {told}")))).await.unwrap();
    assert_eq!(findings[0].message, "the login was svc:…\nand more");
    let resync = DiskId(format!("resync {told}"));
    let Changes::Resync(reason) = ends(source.changed(&"snap".into(), &resync, &"m".into(), None)).await.unwrap() else { panic!() };
    assert_eq!(reason.message, "the login was svc:…\nand more");
    let telling = world.source_that(&format!("tell {PASSWORD} at vCenter")).await;
    assert_eq!(ends(telling.describe()).await.unwrap().product, "… at vCenter");
    let telling = world.sink_that(&format!("tell {SIGNING_KEY} at a store")).await;
    assert_eq!(ends(telling.describe()).await.unwrap().product, "tell … at a store");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    let source = world.source().await;
    ends(source.definition(&vm("chatter 10000"))).await.unwrap();
    let written = lines.text().matches("chatter ").count();
    // A hundred at once, and twenty more for each second that it took; a call takes twenty seconds at most.
    assert!((100..=500).contains(&written), "{written} lines");
    tokio::time::sleep(Duration::from_millis(200)).await;
    ends(source.definition(&vm("chatter 1"))).await.unwrap();
    let dropped = format!("lines were dropped: the plugin writes too many plugin=\"src\" dropped={}", 10_000 - written);
    assert!(lines.text().contains(&dropped), "no {dropped}");
    ends(source.works()).await;
}

#[tokio::test]
async fn a_line_is_one_line_of_bounded_length_under_the_plugins_name() {
    let (lines, _guard) = Lines::caught();
    let world = World::start().await;
    let source = world.source().await;
    ends(source.definition(&vm("log \u{1b}[2J\r\n2026-01-01T00:00:00Z ERROR transload: all disks are lost"))).await.unwrap();
    ends(source.definition(&vm(&format!("log {}", "x".repeat(1 << 20))))).await.unwrap();
    let written = lines.text();
    let of_plugin: Vec<&str> = written.lines().filter(|line| line.contains("transload::plugin")).collect();
    assert_eq!(of_plugin.len(), 6, "{of_plugin:?}");
    assert!(of_plugin[0].contains("\\u{1b}[2J\\r\\n2026-01-01T00:00:00Z ERROR transload: all disks are lost"), "{}", of_plugin[0]);
    assert!(of_plugin.iter().all(|line| line.contains("src") && line.len() < 2300), "{of_plugin:?}");
}

#[tokio::test]
async fn the_noise_before_a_trap_is_cut() {
    let world = World::start().await;
    let (kind, message) = preflight(&world.source().await, "rave").await;
    assert_eq!(kind, FaultKind::Internal);
    assert!(message.starts_with("plugin src failed in preflight: line 0 of many line 1 of many "), "{message}");
    assert!(message.len() < 600 && message.ends_with('…'), "{message}");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What this thread logs from now on.
    fn caught() -> (Lines, DefaultGuard) {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).with_max_level(tracing::Level::TRACE).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (lines, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

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
