//! The rights that a cycle will need, asked for before it begins.
//!
//! Everything else here only reads, so a role that may not write would be noticed in the middle of a cycle. vCenter tells what a session may
//! do on an object without trying it. A server that cannot tell is no reason to stop: the right is then missed where it is used, by name.

use transload_guest::fault::Fault;
use transload_guest::source::Severity;
use transload_guest::xml::Element;

use super::Report;
use crate::moref::Moref;
use crate::properties::Object;
use crate::session::{Authorization, Vcenter};
use crate::soap::{Call, Refusal};

struct Right {
    id: &'static str,
    /// Where the vSphere Client has it in the form of a role.
    client: &'static str,
    /// What does not work without it.
    without: &'static str,
}

const ON_VM: [Right; 4] = [
    Right {
        id: "VirtualMachine.State.CreateSnapshot",
        client: "Virtual machine > Snapshot management > Create snapshot",
        without: "no snapshot can be taken",
    },
    Right {
        id: "VirtualMachine.State.RemoveSnapshot",
        client: "Virtual machine > Snapshot management > Remove snapshot",
        without: "a snapshot would stay for ever",
    },
    Right {
        id: "VirtualMachine.Config.ChangeTracking",
        client: "Virtual machine > Change configuration > Toggle disk change tracking",
        without: "change tracking cannot be switched on",
    },
    Right {
        id: "VirtualMachine.Provisioning.DiskRandomRead",
        client: "Virtual machine > Provisioning > Allow read-only disk access",
        without: "vCenter does not say what changed",
    },
];

const ON_DATASTORE: [Right; 2] = [
    Right { id: "Datastore.Browse", client: "Datastore > Browse datastore", without: "its files cannot be found" },
    Right {
        id: "Datastore.FileManagement",
        client: "Datastore > Low level file operations",
        without: "its files cannot be read through /folder",
    },
];

/// A cycle works without them, so they are told and stop nothing.
const FOR_CUTOVER: [Right; 2] = [
    Right {
        id: "VirtualMachine.Interact.PowerOff",
        client: "Virtual machine > Interaction > Power off",
        without: "a final cycle cannot shut it down",
    },
    Right {
        id: "VirtualMachine.Interact.PowerOn",
        client: "Virtual machine > Interaction > Power on",
        without: "nothing can bring the source back",
    },
];

/// What servers answer that do not know the question; older ones cannot even read it.
const UNKNOWN_THERE: [&str; 4] = ["MethodNotFound", "NotSupported", "NotImplemented", "InvalidRequest"];

pub(super) fn of_account(vcenter: &Vcenter<'_>, doing: &str, vm: &Object, stores: &[Object], report: &mut Report) -> Result<(), Fault> {
    let entities: Vec<&Moref> = std::iter::once(vm).chain(stores).map(|object| &object.moref).collect();
    let asked = vcenter.in_session(|held| match &held.login.authorization {
        Some(authorization) => vcenter.post(held, doing, &question(authorization, &entities)),
        None => Ok(Element::default()),
    });
    let told = match asked {
        Err(refusal) if UNKNOWN_THERE.iter().any(|kind| refusal.is(kind)) => return Ok(()),
        other => other.map_err(|refusal: Refusal| vcenter.explained(refusal))?,
    };
    let user = &vcenter.settings.username;
    let mut tell = |severity: Severity, right: &Right, object: &Object| {
        let Right { id, client, without } = right;
        let name = object.text("name").unwrap_or(&object.moref.value);
        let code = if severity == Severity::Blocking { "right-missing" } else { "right-for-cutover-missing" };
        let message = format!("{user} lacks {id} on {name}: {without}.");
        report.add(code, severity, message, &format!("Give the account {id} on {name} ({client})."));
    };
    let lacks = |object: &Object, right: &Right| lacks(&told, &object.moref, right.id);
    ON_VM.iter().filter(|right| lacks(vm, right)).for_each(|right| tell(Severity::Blocking, right, vm));
    for store in stores {
        ON_DATASTORE.iter().filter(|right| lacks(store, right)).for_each(|right| tell(Severity::Blocking, right, store));
    }
    FOR_CUTOVER.iter().filter(|right| lacks(vm, right)).for_each(|right| tell(Severity::Info, right, vm));
    Ok(())
}

/// Every right on every object, in one call; of the answer only the pairs are read that matter.
fn question(authorization: &Authorization, entities: &[&Moref]) -> Call {
    let call = Call::new("HasPrivilegeOnEntities", &authorization.manager);
    let call = entities.iter().fold(call, |call, entity| call.object("entity", entity)).text("sessionId", &authorization.session);
    ON_VM.iter().chain(&ON_DATASTORE).chain(&FOR_CUTOVER).fold(call, |call, right| call.text("privId", right.id))
}

/// Whether the answer says so. What it does not mention is not lacking: it may be a right that this server does not have.
fn lacks(told: &Element, entity: &Moref, id: &str) -> bool {
    let of_entity = told.children_named("returnval").filter(|answer| answer.child("entity").and_then(Moref::read).as_ref() == Some(entity));
    let mut rights = of_entity.flat_map(|answer| answer.children_named("privAvailability"));
    rights.any(|right| right.text_of("privId") == Some(id) && matches!(right.text_of("isGranted"), Some("false" | "0")))
}
