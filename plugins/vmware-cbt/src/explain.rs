//! From vSphere's faults to ours: the kind that decides, and one sentence that says what to check.

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::xml::Element;

use crate::soap::{Refusal, SoapFault};

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        match refusal {
            Refusal::Transport(fault) => fault,
            Refusal::Soap(fault) => fault.explain(),
        }
    }
}

impl SoapFault {
    /// A task's `info.error`: the fault stands in it beside its localized message.
    pub fn of_task(error: &Element, doing: &str, user: &str) -> SoapFault {
        let detail = error.child("fault").cloned().unwrap_or_default();
        SoapFault {
            kind: detail.xsi_type().unwrap_or_default().to_owned(),
            message: error.text_of("localizedMessage").unwrap_or_default().to_owned(),
            detail,
            doing: doing.to_owned(),
            user: user.to_owned(),
            object: None,
        }
    }

    pub fn explain(&self) -> Fault {
        let kind = kind_of(&self.kind);
        Fault::new(kind, self.sentence(kind))
    }

    fn sentence(&self, kind: FaultKind) -> String {
        let (user, doing) = (&self.user, &self.doing);
        match self.kind.as_str() {
            "InvalidLogin" => format!("vCenter refused the user {user}: check the user name and the password."),
            "NotAuthenticated" => format!("The session of {user} ended before vCenter could {doing}."),
            "NoPermission" => {
                let privilege = self.detail.text_of("privilegeId").filter(|id| !id.is_empty()).unwrap_or("a privilege it did not name");
                let object = self.object.as_deref().or_else(|| self.detail.text_of("object"));
                let object = object.map(|object| format!(" on {object}")).unwrap_or_default();
                format!("vCenter did not {doing}: {user} lacks {privilege}{object}. Give the account's role that privilege.")
            }
            "ManagedObjectNotFound" => format!("vCenter could not {doing}: it is not there any more."),
            _ if kind == FaultKind::Denied => {
                format!("vCenter did not {doing}: its licence or edition does not allow it ({}).", self.said())
            }
            _ => format!("vCenter could not {doing}: {} ({}).", self.kind_or_unknown(), self.said()),
        }
    }

    fn kind_or_unknown(&self) -> &str {
        if self.kind.is_empty() { "an unnamed fault" } else { &self.kind }
    }

    fn said(&self) -> String {
        let said: String = self.message.chars().filter(|c| !c.is_control()).take(300).collect();
        if said.is_empty() { "no message".to_owned() } else { said.trim_end_matches('.').to_owned() }
    }
}

/// The one table from vim25's fault types to our vocabulary.
fn kind_of(fault: &str) -> FaultKind {
    match fault {
        "InvalidLogin" | "NotAuthenticated" | "NoClientCertificate" | "PasswordExpired" => FaultKind::Auth,
        "NoPermission"
        | "SecurityError"
        | "RestrictedVersion"
        | "LicenseRestricted"
        | "LicenseExpired"
        | "InvalidLicense"
        | "NotEnoughLicenses"
        | "FeatureRequirementsNotMet"
        | "NotLicensed" => FaultKind::Denied,
        "ManagedObjectNotFound" | "NotFound" | "FileNotFound" | "VmNotFound" => FaultKind::NotFound,
        "InvalidState"
        | "InvalidPowerState"
        | "InvalidSnapshotState"
        | "ConcurrentAccess"
        | "DuplicateName"
        | "AlreadyExists"
        | "TooManySnapshotLevels"
        | "SnapshotIncompatibleDeviceInVm"
        | "SnapshotNoChange" => FaultKind::Conflict,
        "InvalidArgument" | "InvalidRequest" | "InvalidName" | "InvalidProperty" | "InvalidType" => FaultKind::Invalid,
        "NotSupported" | "MethodNotFound" | "NotImplemented" | "ToolsUnavailable" | "SnapshotCopyNotSupported" | "VmToolsUpgradeFault" => {
            FaultKind::Unsupported
        }
        "NoDiskSpace" | "InsufficientStorageSpace" | "InsufficientStandbyResource" | "FileTooLarge" => FaultKind::Full,
        "RequestCanceled" | "TaskCanceled" => FaultKind::Cancelled,
        "TaskInProgress"
        | "HostNotConnected"
        | "HostNotReachable"
        | "HostCommunication"
        | "HostConnectFault"
        | "Timedout"
        | "FileLocked"
        | "FileFault"
        | "CannotAccessFile"
        | "SystemError"
        | "GenericVmConfigFault"
        | "SnapshotFault"
        | "InsufficientResourcesFault"
        | "ResourceInUse"
        | "VimFault"
        | "ApplicationQuiesceFault"
        | "FilesystemQuiesceFault"
        | "QuiesceDatastoreIOForHAFailed" => FaultKind::Unavailable,
        _ => FaultKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str) -> SoapFault {
        let doing = "open a snapshot of vm-12".to_owned();
        SoapFault { kind: kind.into(), message: "said so.".into(), detail: Element::default(), doing, user: "svc@x".into(), object: None }
    }

    #[test]
    fn logins_rights_and_licences_say_what_to_check() {
        assert_eq!(fault("InvalidLogin").explain().message, "vCenter refused the user svc@x: check the user name and the password.");
        let mut denied = fault("NoPermission");
        denied.detail = transload_guest::xml::parse(
            b"<d><object type='VirtualMachine'>vm-12</object><privilegeId>VirtualMachine.State.CreateSnapshot</privilegeId></d>",
        )
        .unwrap();
        let message = denied.explain().message;
        assert!(message.contains("svc@x lacks VirtualMachine.State.CreateSnapshot on vm-12"), "{message}");
        assert!(fault("RestrictedVersion").explain().message.contains("licence"));
        assert_eq!(fault("NotAuthenticated").explain().kind, FaultKind::Auth);
    }

    #[test]
    fn an_unknown_fault_keeps_its_name_and_words() {
        let unknown = fault("SomethingNew").explain();
        assert_eq!(unknown.kind, FaultKind::Internal);
        assert_eq!(unknown.message, "vCenter could not open a snapshot of vm-12: SomethingNew (said so).");
    }

    #[test]
    fn what_passes_by_itself_is_unavailable_and_what_does_not_is_not() {
        for kind in ["TaskInProgress", "HostNotConnected", "FileLocked"] {
            assert_eq!(fault(kind).explain().kind, FaultKind::Unavailable, "{kind}");
        }
        assert_eq!(fault("NoDiskSpace").explain().kind, FaultKind::Full);
        assert_eq!(fault("ManagedObjectNotFound").explain().kind, FaultKind::NotFound);
        assert_eq!(fault("MethodNotFound").explain().kind, FaultKind::Unsupported);
        assert_eq!(fault("RequestCanceled").explain().kind, FaultKind::Cancelled);
    }
}
