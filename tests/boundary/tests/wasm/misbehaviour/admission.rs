//! Packages that are not what they should be. None of their code is run.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use transload::model::FaultKind;
use transload::pipeline::source::Source;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::super::setup::{World, guest};
use super::{Works, ends};

/// Why the source in this world is refused.
async fn reasons(world: &World) -> Vec<String> {
    ends(world.try_source(&world.usual_endpoint())).await.err().expect("it was started").reasons
}

/// Why a component is refused that is written so.
async fn reasons_against(component: &str) -> Vec<String> {
    let world = World::start().await;
    world.replace_source(&wat::parse_str(component).unwrap());
    reasons(&world).await
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

/// Whoever approved it was shown a line that erased the ones before it.
#[tokio::test]
async fn a_manifest_that_repaints_what_is_shown_is_refused() {
    let world = World::start().await;
    let manifest = world.source_folder().join("manifest.toml");
    let why = "would not be shown as it is: it holds a control character or one that turns text around";
    for words in ["disks\\u001b[1A\\u001b[2K", "disks\\n  - nothing else", "\\u202esksid"] {
        world.reinstall_source("reason = \"disks\"", &format!("reason = \"{words}\""));
        let shown = words.replace("\\u001b", "\\u{1b}").replace("\\u202e", "\\u{202e}");
        assert_eq!(reasons(&world).await, [format!("{}: \"{shown}\" {why}", manifest.display())]);
        world.reinstall_source("[limits]", &format!("[limits]\n\"{words}\" = 1"));
        assert_eq!(reasons(&world).await, [format!("{}: \"{shown}\" {why}", manifest.display())]);
    }
}

#[tokio::test]
async fn imports_that_lead_out_are_refused() {
    let said = reasons_against(
        "(component
            (import \"wasi:sockets/tcp@0.2.6\" (instance (export \"f\" (func))))
            (import \"wasi:filesystem/preopens@0.2.6\" (instance (export \"f\" (func))))
            (import \"transload:plugin/readers@0.1.0\" (instance (export \"f\" (func))))
            (import \"vendor:own/backdoor\" (instance (export \"f\" (func)))))",
    );
    assert_eq!(
        said.await,
        [
            "it imports wasi:sockets/tcp@0.2.6: raw network is never granted; send requests by transload:plugin/http (componentize-py: \
             --stub-wasi; jco: disableFeatures)",
            "it imports wasi:filesystem/preopens@0.2.6: ambient files are never granted; keep state in tokens and sessions (componentize-py: \
             --stub-wasi)",
            "it imports transload:plugin/readers@0.1.0: readers is part of the contract, but this host does not offer it yet; build the plugin \
             without it",
            "it imports vendor:own/backdoor: this host knows no such interface",
        ]
    );
}

#[tokio::test]
async fn a_function_that_the_contract_does_not_have_is_refused() {
    let said = reasons_against(
        "(component
            (import \"transload:plugin/log@0.1.0\" (instance (export \"erase\" (func))))
            (instance $i)
            (export \"transload:plugin/source@0.1.0\" (instance $i)))",
    );
    let said = said.await;
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("its component does not fit the contract: "), "{said:?}");
    assert!(said[0].contains("transload:plugin/log@0.1.0") && said[0].contains("erase"), "{said:?}");
}

#[tokio::test]
async fn exports_that_are_missing_are_refused() {
    assert_eq!(reasons_against("(component)").await, ["it does not export transload:plugin/source, which a source plugin must"]);
    let none = "(component (instance $i) (export \"transload:plugin/source@0.1.0\" (instance $i)))";
    let said = reasons_against(none).await;
    assert!(said[0].starts_with("its component does not fit the contract: ") && said[0].contains("describe"), "{said:?}");
}

#[tokio::test]
async fn functions_of_another_shape_are_never_called() {
    let names = "describe inventory preflight definition placement enable-tracking reset-tracking open-snapshot close-snapshot release-markers \
                 leftovers disks changed open-range power poll cancel";
    let exports: String = names.split_whitespace().map(|name| format!("(export \"{name}\" (func $f))")).collect();
    let world = World::start().await;
    let component = format!(
        "(component
            (core module $m (func (export \"f\") unreachable))
            (core instance $c (instantiate $m))
            (func $f (canon lift (core func $c \"f\")))
            (instance $i {exports})
            (export \"transload:plugin/source@0.1.0\" (instance $i)))"
    );
    world.replace_source(&wat::parse_str(component).unwrap());
    // Shapes are compared when an instance is made, and none of its code runs before.
    let source = world.source().await;
    let why = "failed to convert function to given type: type mismatch with results: expected 1-tuple, found 0-tuple";
    for _ in 0..3 {
        let fault = ends(source.inventory(None)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        assert_eq!(fault.message, format!("plugin src failed in its start: its component does not fit the contract: {why}"));
    }
}

#[tokio::test]
async fn a_plugin_of_another_kind_is_refused() {
    let world = World::start().await;
    world.replace_source(guest("guest_sink"));
    assert_eq!(
        reasons(&world).await,
        ["it imports transload:plugin/secrets@0.1.0: no secret is granted for signing; the manifest must ask for one with sign-chain",]
    );
    world.reinstall_source("kind = \"source\"", "kind = \"sink\"");
    let manifest = world.source_folder().join("manifest.toml");
    let folder = "a sink plugin cannot ask for [[folder]]: that is for source plugins";
    assert_eq!(reasons(&world).await, [format!("{}: {folder}", manifest.display())]);
    for file in ["manifest.toml", "echo.wasm"] {
        std::fs::copy(world.source_folder().with_file_name("echo-sink").join(file), world.source_folder().join(file)).unwrap();
    }
    assert_eq!(reasons(&world).await, ["echo-sink is a sink plugin, but it is configured as a source"]);
    world.reinstall_source("kind = \"source\"", "kind = \"hypervisor\"");
    let said = reasons(&world).await;
    assert!(said[0].contains("unknown variant `hypervisor`, expected one of `source`, `sink`, `cutover`, `launcher`"), "{said:?}");
}

#[tokio::test]
async fn another_major_version_is_refused_on_either_side() {
    let imported = "(component (import \"transload:plugin/log@1.0.0\" (instance (export \"write\" (func)))))";
    assert_eq!(reasons_against(imported).await, ["it imports transload:plugin/log@1.0.0: this host offers version 0.1 of it"]);
    // It was taken for the right one until it was linked, and then nobody said what was wrong with it.
    let exported = "(component (instance $i) (export \"transload:plugin/source@1.0.0\" (instance $i)))";
    assert_eq!(reasons_against(exported).await, ["it exports transload:plugin/source@1.0.0: this host calls version 0.1 of it"]);
    let world = World::start().await;
    world.reinstall_source("wit = \"0.1.0\"", "wit = \"1.0.0\"");
    assert_eq!(reasons(&world).await, ["it was built against transload:plugin 1.0.0, and this host offers 0.1"]);
}

#[tokio::test]
async fn what_a_component_exports_beyond_the_contract_is_left_alone() {
    let engine = Engine::default();
    let component = Component::from_binary(&engine, guest("guest_source")).unwrap();
    let exports: Vec<String> = component.component_type().exports(&engine).map(|(name, _)| name.to_owned()).collect();
    assert!(exports.contains(&"vendor:private/extra".to_owned()), "{exports:?}");
    // Nothing was wrong with it, and nothing called what would have trapped.
    let world = World::start().await;
    ends(world.source().await.works()).await;
}

#[tokio::test]
async fn a_file_that_is_no_whole_component_is_refused() {
    let world = World::start().await;
    let whole = guest("guest_source");
    let mut damaged = whole.to_vec();
    damaged[whole.len() / 2..whole.len() / 2 + 64].fill(0xff);
    let core = wat::parse_str("(module)").unwrap();
    for (bytes, why) in [
        (&b""[..], ""),
        (b"no component", ""),
        (&whole[..whole.len() / 2], ""),
        (&whole[..whole.len() - 1], ""),
        (&damaged, ""),
        (&core, "attempted to parse a wasm module with a component parser"),
    ] {
        world.replace_source(bytes);
        let said = reasons(&world).await;
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("its component is no WebAssembly component that this host can run: "), "{said:?}");
        assert!(said[0].contains(why), "{said:?}");
    }
    world.replace_source(whole);
    ends(world.source().await.works()).await;
}

#[tokio::test]
async fn a_component_that_is_not_the_manifests_is_refused() {
    let world = World::start().await;
    let component = world.source_folder().join("echo.wasm");
    fs::write(&component, guest("guest_sink")).unwrap();
    let said = reasons(&world).await;
    let foreign = format!("{} is not the component that the manifest was written for: its SHA-256 is ", component.display());
    assert!(said[0].starts_with(&foreign), "{said:?}");
    fs::remove_file(&component).unwrap();
    assert_eq!(reasons(&world).await, [format!("{} cannot be read: it is not there", component.display())]);
}

#[tokio::test]
async fn a_component_outside_of_its_folder_is_refused() {
    let world = World::start().await;
    let manifest = world.source_folder().join("manifest.toml");
    for path in ["../echo-sink/echo.wasm", "/etc/passwd", "..", ".hidden.wasm", "sub/echo.wasm"] {
        world.reinstall_source("component = \"echo.wasm\"", &format!("component = \"{path}\""));
        let said = format!("{}: component {path:?} must be a file beside the manifest", manifest.display());
        assert_eq!(reasons(&world).await, [said]);
    }
}

/// To open a pipe that nobody writes into takes for ever, and the start of the agent with it; a device was read as far as it goes.
#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let world = World::start().await;
    let component = world.source_folder().join("echo.wasm");
    let refused = |why: &str| [format!("{} cannot be read: {why}", component.display())];

    fs::remove_file(&component).unwrap();
    assert!(Command::new("mkfifo").arg(&component).status().unwrap().success());
    assert_eq!(reasons(&world).await, refused("it is no plain file"));

    fs::remove_file(&component).unwrap();
    symlink("/dev/zero", &component).unwrap();
    assert_eq!(reasons(&world).await, refused("it is a link, and links are not followed here"));

    fs::remove_file(&component).unwrap();
    fs::create_dir(&component).unwrap();
    assert_eq!(reasons(&world).await, refused("it is no plain file"));
}

#[tokio::test]
async fn files_longer_than_any_are_refused_unread() {
    let world = World::start().await;
    let component = world.source_folder().join("echo.wasm");
    let long = fs::File::create(&component).unwrap();
    // A file of a terabyte that takes no space.
    long.set_len(1 << 40).unwrap();
    let too_long =
        |path: &std::path::Path, bytes: u64| format!("{} is longer than {bytes} bytes, and no such file of a plugin is", path.display());
    assert_eq!(reasons(&world).await, [too_long(&component, 200 << 20)]);
    let manifest = world.source_folder().join("manifest.toml");
    fs::File::create(&manifest).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(reasons(&world).await, [too_long(&manifest, 256 << 10)]);
}
