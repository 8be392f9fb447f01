//! Who writes a commit or a receipt tells the others in this process, so that they need not wait until they look again.
//!
//! It saves time and nothing else: whoever is told looks into the store, and whoever is not told looks there as often as before.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use crate::model::VmId;

/// Tellings that a listener may be behind. One that missed some looks once too often.
const BEHIND_MAX: usize = 64;

#[derive(Clone)]
pub struct News(Sender<VmId>);

/// Hears everything that is told after it was made.
pub struct Listener(Receiver<VmId>);

impl Default for News {
    fn default() -> News {
        News(channel(BEHIND_MAX).0)
    }
}

impl News {
    /// Something of the VM is in the store that was not there before.
    pub fn tell(&self, vm: &VmId) {
        // Nobody may be listening.
        let _ = self.0.send(vm.clone());
    }

    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Waits until something is told of the VM.
    pub async fn of(&mut self, vm: &VmId) {
        loop {
            match self.0.recv().await {
                Ok(told) if told != *vm => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_was_told_before_it_was_waited_for_is_heard_and_what_others_are_told_is_not() {
        let (news, ours, other) = (News::default(), VmId::from("ours"), VmId::from("other"));
        let mut listener = news.listen();
        news.tell(&other);
        assert!(listener.of(&ours).now_or_never().is_none());
        news.tell(&ours);
        assert!(listener.of(&ours).now_or_never().is_some());
        assert!(listener.of(&ours).now_or_never().is_none());
        (0..BEHIND_MAX + 10).for_each(|_| news.tell(&other));
        assert!(listener.of(&ours).now_or_never().is_some(), "something may have been missed");
    }
}
