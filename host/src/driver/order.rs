//! What a VM's task is told while it runs. A command is judged by the task itself, which alone changes the VM's state, and answered at once.

use tokio::sync::{mpsc, oneshot};

use crate::model::Fault;
use crate::policy::vm::command::{Command, Verdict};

#[derive(Debug)]
pub enum Order {
    Command {
        command: Command,
        trial: Trial,
        answer: oneshot::Sender<Verdict>,
    },
    /// Put down what is open, then end.
    Leave,
}

/// Whether only the judgement is wanted, and nothing of what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    No,
    Only,
}

/// Has a command judged by the VM's task. When the answer is there, what was accepted is durable.
pub async fn ask(orders: &mpsc::Sender<Order>, command: Command, trial: Trial) -> Result<Verdict, Fault> {
    let ended = || Fault::unavailable("the VM's task has ended: the agent is stopping");
    let (answer, verdict) = oneshot::channel();
    orders.send(Order::Command { command, trial, answer }).await.map_err(|_| ended())?;
    verdict.await.map_err(|_| ended())
}
