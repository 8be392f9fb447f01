//! Which VM each open snapshot belongs to, as far as this agent knows.
//!
//! A source names a snapshot by a token that the host does not understand. One that answers a VM with another VM's token would have the
//! snapshot of that other VM read as this one's, or closed under its copy. Tokens are told apart by source, and known from the moment they are
//! answered, or are found in the journal, until they are closed.

use std::collections::BTreeMap;

use crate::model::{Fault, SnapshotToken, VmId};

#[derive(Debug, Default)]
pub(super) struct Holders(BTreeMap<(String, SnapshotToken), VmId>);

impl Holders {
    /// The token is this VM's; `corrupt` when it is known as another one's, and then it stays that one's.
    pub fn claim(&mut self, source: &str, token: &SnapshotToken, vm: &VmId) -> Result<(), Fault> {
        let holder = self.0.entry((source.to_owned(), token.clone())).or_insert_with(|| vm.clone());
        match holder == vm {
            true => Ok(()),
            false => Err(Fault::corrupt(format!(
                "the source {source} answered with a snapshot that belongs to the VM {holder}: it was not touched, and that plugin is not to be trusted"
            ))),
        }
    }

    pub fn release(&mut self, source: &str, token: &SnapshotToken) {
        self.0.remove(&(source.to_owned(), token.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_of_one_vm_until_it_is_closed() {
        let mut holders = Holders::default();
        let (a, b, token) = (VmId::from("a"), VmId::from("b"), SnapshotToken::from("t"));
        holders.claim("vc", &token, &a).unwrap();
        holders.claim("vc", &token, &a).unwrap();
        holders.claim("other", &token, &b).unwrap();
        let fault = holders.claim("vc", &token, &b).unwrap_err();
        assert!(fault.kind == crate::model::FaultKind::Corrupt && fault.message.contains("belongs to the VM a"), "{fault}");
        holders.claim("vc", &token, &a).unwrap();
        holders.release("vc", &token);
        holders.claim("vc", &token, &b).unwrap();
    }
}
