use transload_guest::source::{Closing, Source};

use super::*;
use crate::script::{Scene, objects, prop, snapshot_prop, task, vm, vm_ref};

const TASK: &str = r#"<returnval type="Task">task-1</returnval>"#;
const LOOK: &str = "RetrievePropertiesEx:runtime.consolidationNeeded";
const INFO: &str = "RetrievePropertiesEx:<pathSet>info<";

fn token() -> SnapshotToken {
    SnapshotToken { vm: "vm-1".into(), uuid: "uuid-1".into(), tag: "transload-1".into(), snapshot: "snapshot-9".into() }
}

fn standing() -> String {
    vm(&snapshot_prop(&[("snapshot-9", "transload-1", false), ("snapshot-3", "user's", false)]))
}

fn close_it(scene: &Scene) -> Result<Outcome, Fault> {
    scene.run(|vcenter| vcenter.close_snapshot(&tokens::write(&token()), Closing::DiscardMarkers))
}

fn poll(scene: &Scene, outcome: Result<Outcome, Fault>) -> Result<Outcome, Fault> {
    let Ok(Outcome::Pending { operation, .. }) = outcome else { panic!("{outcome:?} is not pending") };
    scene.run(|vcenter| vcenter.poll(&operation))
}

#[test]
fn one_snapshot_is_removed_by_its_reference_and_nothing_else() {
    let scene = Scene::new().on(LOOK, &standing()).on(LOOK, &vm("")).on("RemoveSnapshot_Task", TASK).on(INFO, &task("success", ""));
    let pending = close_it(&scene);
    let body = scene.bodies("RemoveSnapshot_Task").remove(0);
    let wanted =
        r#"<_this type="VirtualMachineSnapshot">snapshot-9</_this><removeChildren>false</removeChildren><consolidate>true</consolidate>"#;
    assert!(body.contains(wanted), "{body}");
    assert_eq!(poll(&scene, pending), Ok(Outcome::Closed(Vec::new())));
}

#[test]
fn closed_already_is_closed_and_so_is_a_vm_that_is_gone() {
    assert_eq!(close_it(&Scene::new().on(LOOK, &vm(""))), Ok(Outcome::Closed(Vec::new())));
    assert_eq!(close_it(&Scene::new().fails(LOOK, "ManagedObjectNotFound")), Ok(Outcome::Closed(Vec::new())));
}

#[test]
fn what_vcenter_could_not_merge_is_consolidated() {
    let needed = prop("runtime.consolidationNeeded", "true");
    let scene = Scene::new()
        .on(LOOK, &standing())
        .on(LOOK, &vm(&needed))
        .on(LOOK, &vm(&prop("runtime.consolidationNeeded", "false")))
        .on("RemoveSnapshot_Task", TASK)
        .on("ConsolidateVMDisks_Task", TASK)
        .on(INFO, &task("success", ""));
    let removing = close_it(&scene);
    let consolidating = poll(&scene, removing);
    assert_eq!(scene.count("ConsolidateVMDisks_Task"), 1);
    assert_eq!(poll(&scene, consolidating), Ok(Outcome::Closed(Vec::new())));
}

#[test]
fn a_removal_that_failed_after_the_tree_lost_it_goes_on_with_consolidation() {
    let scene = Scene::new()
        .on(LOOK, &standing())
        .on(LOOK, &vm(&prop("runtime.consolidationNeeded", "true")))
        .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(""))
        .on("RemoveSnapshot_Task", TASK)
        .on("ConsolidateVMDisks_Task", TASK)
        .on(INFO, &task("error", "FileLocked"));
    let removing = close_it(&scene);
    assert!(matches!(poll(&scene, removing), Ok(Outcome::Pending { .. })));
    assert_eq!(scene.count("ConsolidateVMDisks_Task"), 1);
}

#[test]
fn a_consolidation_that_helps_nothing_is_a_fault_and_not_a_loop() {
    let needed = vm(&prop("runtime.consolidationNeeded", "true"));
    let scene = Scene::new().on(LOOK, &needed).on("ConsolidateVMDisks_Task", TASK).on(INFO, &task("success", ""));
    let consolidating = close_it(&scene);
    assert_eq!(poll(&scene, consolidating).unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(scene.count("ConsolidateVMDisks_Task"), 1);
}

#[test]
fn a_busy_vm_is_asked_again_later() {
    let scene = Scene::new().on(LOOK, &standing()).fails("RemoveSnapshot_Task", "TaskInProgress").on("RemoveSnapshot_Task", TASK);
    let busy = close_it(&scene);
    assert!(matches!(poll(&scene, busy), Ok(Outcome::Pending { .. })));
    assert_eq!(scene.count("RemoveSnapshot_Task"), 2);
}

#[test]
fn a_reference_that_means_another_snapshot_now_is_not_removed() {
    let other = vm(&snapshot_prop(&[("snapshot-9", "user's", false)]));
    let scene = Scene::new().on(LOOK, &other);
    assert_eq!(close_it(&scene).unwrap_err().kind, FaultKind::Conflict);
    let stranger = objects(&[("VirtualMachine", "vm-1", &prop("config.instanceUuid", "uuid-2"))]);
    let scene = Scene::new().on(LOOK, &stranger);
    assert_eq!(close_it(&scene).unwrap_err().kind, FaultKind::Conflict);
    assert_eq!(scene.count("RemoveSnapshot_Task"), 0);
}

#[test]
fn a_failed_removal_says_why_each_time_it_is_asked_about() {
    let scene = Scene::new()
        .on(LOOK, &standing())
        .on("RetrievePropertiesEx:<pathSet>snapshot<", &standing())
        .on("RemoveSnapshot_Task", TASK)
        .on(INFO, &task("error", "NoDiskSpace"));
    let removing = close_it(&scene);
    for _ in 0..2 {
        assert_eq!(poll(&scene, removing.clone()).unwrap_err().kind, FaultKind::Full);
    }
    assert_eq!(scene.count("RemoveSnapshot_Task"), 1);
}

#[test]
fn a_forgotten_task_is_judged_by_the_tree() {
    let scene = Scene::new().on(LOOK, &vm("")).fails(INFO, "ManagedObjectNotFound");
    let work =
        Work::Close { tag: "transload-1".into(), snapshot: "snapshot-9".into(), phase: ClosePhase::Removing, task: Some("task-1".into()) };
    let operation = tokens::write(&Operation::of(&vm_ref(), work));
    assert_eq!(scene.run(|vcenter| vcenter.poll(&operation)), Ok(Outcome::Closed(Vec::new())));
}
