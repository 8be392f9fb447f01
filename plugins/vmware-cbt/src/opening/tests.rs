use transload_guest::fault::FaultKind;
use transload_guest::source::Source;

use super::*;
use crate::script::{Scene, objects, prop, raw_prop, snapshot_prop, task, vm, vm_ref};

const TASK: &str = r#"<returnval type="Task">task-1</returnval>"#;

/// Replies to the two looks that precede a creation: recent tasks, then the tree.
fn scene(tree: &str) -> Scene {
    Scene::new().on("RetrievePropertiesEx:recentTask", &vm("")).on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(tree))
}

fn start(scene: &Scene, quiesce: Quiesce) -> Result<Outcome, Fault> {
    scene.run(|vcenter| vcenter.open_snapshot(&vm_ref(), "transload-1", quiesce))
}

fn operation(outcome: Result<Outcome, Fault>) -> String {
    match outcome {
        Ok(Outcome::Pending { operation, .. }) => operation,
        other => panic!("{other:?} is not pending"),
    }
}

fn poll(scene: &Scene, operation: &str) -> Result<Outcome, Fault> {
    scene.run(|vcenter| vcenter.poll(operation))
}

#[test]
fn a_snapshot_is_created_without_memory_and_polled_until_it_stands() {
    let scene = scene("")
        .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(&snapshot_prop(&[("snapshot-9", "transload-1", true)])))
        .on("CreateSnapshot_Task", TASK)
        .on("RetrievePropertiesEx:<pathSet>info<", &task("running", ""))
        .on("RetrievePropertiesEx:<pathSet>info<", &task("success", ""));
    let first = operation(start(&scene, Quiesce::Wanted));
    assert!(scene.bodies("CreateSnapshot_Task")[0].contains("<memory>false</memory><quiesce>true</quiesce>"));
    let again = operation(poll(&scene, &first));
    let Ok(Outcome::Opened(opened)) = poll(&scene, &again) else { panic!("opened") };
    assert!(opened.quiesced);
    let token: SnapshotToken = tokens::read(&opened.token).unwrap();
    assert_eq!((token.snapshot.as_str(), token.tag.as_str(), token.uuid.as_str()), ("snapshot-9", "transload-1", "uuid-1"));
    assert_eq!(poll(&scene, &first).unwrap(), Outcome::Opened(opened), "asking about the end again answers it again");
}

#[test]
fn the_same_tag_twice_is_one_snapshot() {
    let scene = scene(&snapshot_prop(&[("snapshot-9", "transload-1", false)]));
    let Ok(Outcome::Opened(opened)) = start(&scene, Quiesce::Wanted) else { panic!("opened") };
    assert!(!opened.quiesced, "asking for it is not getting it");
    assert_eq!(scene.count("CreateSnapshot_Task"), 0);
}

#[test]
fn a_running_task_is_waited_for_and_not_doubled() {
    let recent = r#"<ManagedObjectReference type="Task">task-1</ManagedObjectReference>"#;
    let props = [prop("info.descriptionId", "VirtualMachine.createSnapshot"), prop("info.state", "running")].concat();
    let scene = Scene::new()
        .on("RetrievePropertiesEx:recentTask", &vm(&raw_prop("recentTask", recent)))
        .on("RetrievePropertiesEx:info.descriptionId", &objects(&[("Task", "task-1", &props)]))
        .on("RetrievePropertiesEx:<pathSet>info<", &task("success", ""))
        .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(&snapshot_prop(&[("snapshot-9", "transload-1", false)])));
    let met = operation(start(&scene, Quiesce::Unwanted));
    assert_eq!(scene.count("CreateSnapshot_Task"), 0);
    assert!(matches!(poll(&scene, &met), Ok(Outcome::Opened(_))));
}

#[test]
fn a_task_that_was_anothers_is_followed_by_our_own() {
    let met = Work::Open { tag: "transload-1".into(), task: "task-0".into(), asking: Asking::CrashConsistent, origin: Origin::Met };
    let scene = scene("").on("RetrievePropertiesEx:<pathSet>info<", &task("error", "SnapshotFault")).on("CreateSnapshot_Task", TASK);
    operation(poll(&scene, &tokens::write(&Operation::of(&vm_ref(), met))));
    assert_eq!(scene.count("CreateSnapshot_Task"), 1);
}

#[test]
fn a_guest_that_cannot_quiesce_gets_a_crash_consistent_snapshot_and_that_is_seen() {
    for kind in ["ApplicationQuiesceFault", "FilesystemQuiesceFault"] {
        let scene = scene("")
            .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(""))
            .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(""))
            .on("RetrievePropertiesEx:<pathSet>snapshot<", &vm(&snapshot_prop(&[("snapshot-9", "transload-1", true)])))
            .on("CreateSnapshot_Task", TASK)
            .on("RetrievePropertiesEx:<pathSet>info<", &task("error", kind))
            .on("RetrievePropertiesEx:<pathSet>info<", &task("success", ""));
        let first = operation(start(&scene, Quiesce::Wanted));
        let second = operation(poll(&scene, &first));
        let created = scene.bodies("CreateSnapshot_Task");
        assert!(created[0].contains("<quiesce>true<") && created[1].contains("<quiesce>false<"), "{kind}");
        let Ok(Outcome::Opened(opened)) = poll(&scene, &second) else { panic!("opened") };
        assert!(!opened.quiesced);
    }
}

#[test]
fn a_quiesced_snapshot_that_is_required_fails_instead() {
    let mut scene =
        scene("").on("CreateSnapshot_Task", TASK).on("RetrievePropertiesEx:<pathSet>info<", &task("error", "ApplicationQuiesceFault"));
    scene.settings.quiesce = Quiescing::Require;
    let first = operation(start(&scene, Quiesce::Wanted));
    assert_eq!(poll(&scene, &first).unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(scene.count("CreateSnapshot_Task"), 1);
}

#[test]
fn another_vm_under_the_same_reference_is_not_touched() {
    let other = objects(&[("VirtualMachine", "vm-1", &prop("config.instanceUuid", "uuid-2"))]);
    let scene = Scene::new().on("RetrievePropertiesEx", &other);
    let fault = start(&scene, Quiesce::Unwanted).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.message.contains("uuid-2") && fault.message.contains("uuid-1"), "{}", fault.message);
    assert_eq!(scene.count("CreateSnapshot_Task"), 0);
}

#[test]
fn a_snapshot_of_somebody_else_is_a_conflict_that_names_it() {
    let scene = scene(&snapshot_prop(&[("snapshot-3", "before patch", false)]));
    let fault = start(&scene, Quiesce::Unwanted).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.message.contains("\"before patch\""), "{}", fault.message);
}

#[test]
fn a_forgotten_task_is_judged_by_the_tree() {
    let gone = scene(&snapshot_prop(&[("snapshot-9", "transload-1", false)]))
        .fails("RetrievePropertiesEx:<pathSet>info<", "ManagedObjectNotFound");
    let work = Work::Open { tag: "transload-1".into(), task: "task-1".into(), asking: Asking::CrashConsistent, origin: Origin::Ours };
    let operation = tokens::write(&Operation::of(&vm_ref(), work));
    assert!(matches!(poll(&gone, &operation), Ok(Outcome::Opened(_))));
    let empty = scene("").fails("RetrievePropertiesEx:<pathSet>info<", "ManagedObjectNotFound");
    assert_eq!(poll(&empty, &operation).unwrap_err().kind, FaultKind::NotFound);
}

#[test]
fn leftovers_are_the_snapshots_of_that_prefix_only() {
    let tree = snapshot_prop(&[("snapshot-1", "transload-7", false), ("snapshot-2", "user's", false), ("snapshot-3", "transload-8", true)]);
    let scene = scene(&tree);
    let found = scene.run(|vcenter| vcenter.leftovers(&vm_ref(), "transload-")).unwrap();
    let tags: Vec<String> = found.iter().map(|token| tokens::read::<SnapshotToken>(token).unwrap().tag).collect();
    assert_eq!(tags, ["transload-7", "transload-8"]);
}
