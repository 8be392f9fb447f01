//! The replicas of an agent: one task for each VM, however often and by whom it is asked for.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::{mpsc, watch};

use crate::model::{Fault, VmId};

use super::judge::{Receiver, ReplicaTask, ReplicaView};

pub struct Replicas {
    receiver: Receiver,
    views: Mutex<BTreeMap<VmId, watch::Receiver<ReplicaView>>>,
    /// Held while a task is started: the VM itself and its entry in the store ask for it at the same moment. A task ends when nobody looks
    /// at it, so a second view in the first one's place would end the task that runs.
    starting: tokio::sync::Mutex<()>,
}

impl Replicas {
    pub fn new(receiver: Receiver) -> Replicas {
        Replicas { receiver, views: Mutex::default(), starting: tokio::sync::Mutex::default() }
    }

    /// Starts the VM's task, unless it runs. `failed` hears what ends it: without a journal nothing may go on.
    pub async fn take_up(&self, id: &VmId, failed: mpsc::Sender<Fault>) -> Result<(), Fault> {
        let _one_by_one = self.starting.lock().await;
        if self.receivers().contains_key(id) {
            return Ok(());
        }
        let (show, view) = watch::channel(ReplicaView::default());
        let task = ReplicaTask::open(self.receiver.clone(), id.clone(), show).await?;
        self.receivers().insert(id.clone(), view);
        tokio::spawn(async move {
            if let Err(fault) = task.run().await {
                let _ = failed.send(fault).await;
            }
        });
        Ok(())
    }

    pub fn views(&self) -> BTreeMap<VmId, ReplicaView> {
        self.receivers().iter().map(|(id, view)| (id.clone(), view.borrow().clone())).collect()
    }

    fn receivers(&self) -> std::sync::MutexGuard<'_, BTreeMap<VmId, watch::Receiver<ReplicaView>>> {
        self.views.lock().expect("nothing panics while it holds this")
    }
}
