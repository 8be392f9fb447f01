use transload_guest::fault::FaultKind;
use transload_guest::source::Source;

use super::*;
use crate::script::{Scene, prop, snapshot_prop, task, vm, vm_ref};

const TASK: &str = r#"<returnval type="Task">task-1</returnval>"#;
const LOOK: &str = "RetrievePropertiesEx:config.changeTrackingEnabled";
const INFO: &str = "RetrievePropertiesEx:<pathSet>info<";

fn state(enabled: bool, snapshots: &[(&str, &str, bool)]) -> String {
    let flag = if enabled { "true" } else { "false" };
    vm(&[prop("config.changeTrackingEnabled", flag), prop("capability.changeTrackingSupported", "true"), snapshot_prop(snapshots)].concat())
}

const STUN: &[(&str, &str, bool)] = &[("snapshot-5", "transload-change-tracking", false)];

/// Polls until the end and answers it, with the operations that were started on the way.
fn follow(scene: &Scene, first: Result<Outcome, Fault>) -> (Result<Outcome, Fault>, Vec<String>) {
    let mut outcome = first;
    while let Ok(Outcome::Pending { operation, .. }) = &outcome {
        outcome = scene.run(|vcenter| vcenter.poll(operation));
    }
    let started = scene.seen.borrow().iter().filter(|seen| seen.verb.ends_with("_Task")).map(started).collect();
    (outcome, started)
}

fn started(seen: &crate::script::Seen) -> String {
    match seen.verb.as_str() {
        "ReconfigVM_Task" => format!("set {}", seen.body.contains("<changeTrackingEnabled>true")),
        "CreateSnapshot_Task" => "stun".to_owned(),
        "RemoveSnapshot_Task" => "unstun".to_owned(),
        other => other.to_owned(),
    }
}

fn tasks(scene: Scene) -> Scene {
    scene.on("ReconfigVM_Task", TASK).on("CreateSnapshot_Task", TASK).on("RemoveSnapshot_Task", TASK).on(INFO, &task("success", ""))
}

#[test]
fn enabling_sets_it_and_stuns_the_vm_once() {
    // One look for the refusals, then one before each step and one at the end.
    let scene = tasks(Scene::new())
        .on(LOOK, &state(false, &[]))
        .on(LOOK, &state(false, &[]))
        .on(LOOK, &state(true, &[]))
        .on(LOOK, &state(true, STUN))
        .on(LOOK, &state(true, &[]));
    let (outcome, started) = follow(&scene, scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())));
    assert_eq!(outcome, Ok(Outcome::Done));
    assert_eq!(started, ["set true", "stun", "unstun"]);
}

#[test]
fn resetting_switches_off_and_on_with_a_stun_after_each() {
    let scene = tasks(Scene::new())
        .on(LOOK, &state(true, &[]))
        .on(LOOK, &state(true, &[]))
        .on(LOOK, &state(false, &[]))
        .on(LOOK, &state(false, STUN))
        .on(LOOK, &state(false, &[]))
        .on(LOOK, &state(true, &[]))
        .on(LOOK, &state(true, STUN))
        .on(LOOK, &state(true, &[]));
    let (outcome, started) = follow(&scene, scene.run(|vcenter| vcenter.reset_tracking(&vm_ref())));
    assert_eq!(outcome, Ok(Outcome::Done));
    assert_eq!(started, ["set false", "stun", "unstun", "set true", "stun", "unstun"]);
}

#[test]
fn enabled_already_is_done_and_a_stun_left_behind_is_removed() {
    let scene = Scene::new().on(LOOK, &state(true, &[]));
    assert_eq!(scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())), Ok(Outcome::Done));
    let scene = tasks(Scene::new()).on(LOOK, &state(true, STUN)).on(LOOK, &state(true, STUN)).on(LOOK, &state(true, &[]));
    let (outcome, started) = follow(&scene, scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())));
    assert_eq!((outcome, started), (Ok(Outcome::Done), vec!["unstun".to_owned()]));
}

#[test]
fn nothing_is_set_while_a_stun_snapshot_stands() {
    let scene = tasks(Scene::new())
        .on(LOOK, &state(false, STUN))
        .on(LOOK, &state(false, STUN))
        .on(LOOK, &state(false, &[]))
        .on(LOOK, &state(true, &[]))
        .on(LOOK, &state(true, STUN))
        .on(LOOK, &state(true, &[]));
    let (_, started) = follow(&scene, scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())));
    assert_eq!(started, ["unstun", "set true", "stun", "unstun"]);
}

#[test]
fn a_users_snapshot_is_a_conflict_that_names_it() {
    let scene = Scene::new().on(LOOK, &state(false, &[("snapshot-1", "before patch", false)]));
    for fault in [
        scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())).unwrap_err(),
        scene.run(|vcenter| vcenter.reset_tracking(&vm_ref())).unwrap_err(),
    ] {
        assert_eq!(fault.kind, FaultKind::Conflict);
        assert!(fault.message.contains("before patch"));
    }
    assert_eq!(scene.count("ReconfigVM_Task"), 0);
}

#[test]
fn a_wish_that_the_host_does_not_follow_is_unsupported() {
    let scene = tasks(Scene::new()).on(LOOK, &state(false, &[]));
    let operation = tokens::write(&Operation::of(&vm_ref(), Work::Track { goal: Goal::Enable, step: 4, task: None }));
    assert_eq!(scene.run(|vcenter| vcenter.poll(&operation)).unwrap_err().kind, FaultKind::Unsupported);
}

#[test]
fn an_old_vm_is_refused_before_anything_is_set() {
    let props = [prop("config.changeTrackingEnabled", "false"), prop("capability.changeTrackingSupported", "false")].concat();
    let scene = Scene::new().on(LOOK, &vm(&props));
    assert_eq!(scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())).unwrap_err().kind, FaultKind::Unsupported);
}

#[test]
fn a_busy_vm_takes_the_same_step_again() {
    let scene = Scene::new().on(LOOK, &state(false, &[])).fails("ReconfigVM_Task", "TaskInProgress").on("ReconfigVM_Task", TASK);
    let Ok(Outcome::Pending { operation, .. }) = scene.run(|vcenter| vcenter.enable_tracking(&vm_ref())) else { panic!("pending") };
    assert!(matches!(scene.run(|vcenter| vcenter.poll(&operation)), Ok(Outcome::Pending { .. })));
    assert_eq!(scene.count("ReconfigVM_Task"), 2);
}
