//! How long a call may take: so long of its own, and beside that so long as the host moves bulk bytes for it.
//!
//! ```text
//!   begins        put or get             answered                        cut
//!     │  computes   │   the host moves bytes  │         computes            │
//!     ├─────────────┼═════════════════════════┼─────────────────────────────┤
//!     └──── limit ──┘   (on top, up to bulk)  └──────── rest of limit ──────┘
//! ```
//!
//! A guest that computes while nothing moves is ended after the call's own limit, however large the body in its hands is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time of the call that an instance serves.
#[derive(Clone)]
pub struct CallTime(Arc<Shared>);

struct Shared {
    deadline: watch::Sender<Instant>,
    /// What is left of the time to move bytes in.
    bulk: Mutex<Duration>,
}

/// A call came to no answer within its time.
#[derive(Debug)]
pub struct TooLate;

/// The host moves bytes as long as this lives.
pub struct Moving {
    time: CallTime,
    since: Instant,
    granted: Duration,
}

impl CallTime {
    /// Of no call yet.
    pub fn new() -> CallTime {
        CallTime(Arc::new(Shared { deadline: watch::Sender::new(Instant::now()), bulk: Mutex::default() }))
    }

    /// From now on: the call that may take so long, and move bytes for so long on top.
    pub fn begin(&self, limit: Duration, bulk: Duration) -> Deadline {
        *self.bulk() = bulk;
        self.0.deadline.send_replace(Instant::now() + limit);
        Deadline(self.0.deadline.subscribe())
    }

    /// Time that passes meanwhile is taken from what was granted for bulk bytes first.
    pub fn moving(&self) -> Moving {
        let granted = *self.bulk();
        self.0.deadline.send_modify(|at| *at += granted);
        Moving { time: self.clone(), since: Instant::now(), granted }
    }

    fn bulk(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.0.bulk.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        let left = self.granted.saturating_sub(self.since.elapsed());
        *self.time.bulk() = left;
        self.time.0.deadline.send_modify(|at| *at -= left);
    }
}

/// When a call ends that has not answered. It moves while bytes do.
pub struct Deadline(watch::Receiver<Instant>);

impl Deadline {
    pub async fn before<T>(self, call: impl Future<Output = T>) -> Result<T, TooLate> {
        tokio::select! {
            // The time first: a guest may use up what its task is allowed to do before it yields.
            biased;
            () = self.passed() => Err(TooLate),
            answer = call => Ok(answer),
        }
    }

    async fn passed(mut self) {
        loop {
            let at = *self.0.borrow_and_update();
            tokio::select! {
                biased;
                // Whoever set it is gone with the instance: nothing moves it any more.
                Ok(()) = self.0.changed() => {}
                () = tokio::time::sleep_until(at) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When a call ends that computes, lets the host move bytes, and computes without end.
    async fn ends(limit: Duration, bulk: Duration, moves: &[Duration]) -> Duration {
        let (time, begun) = (CallTime::new(), Instant::now());
        let call = async {
            for long in moves {
                let _moving = time.moving();
                tokio::time::sleep(*long).await;
            }
            std::future::pending::<()>().await;
        };
        assert!(time.begin(limit, bulk).before(call).await.is_err());
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn time_to_move_bytes_in_is_no_time_to_compute_in() {
        let (limit, bulk) = (10 * SECOND, 600 * SECOND);
        assert_eq!(ends(limit, bulk, &[]).await.as_secs(), 10);
        assert_eq!(ends(limit, bulk, &[30 * SECOND, 5 * SECOND]).await.as_secs(), 45);
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_for_longer_than_was_granted_is_paid_of_the_calls_own_time() {
        assert_eq!(ends(10 * SECOND, 20 * SECOND, &[25 * SECOND]).await.as_secs(), 30);
        assert_eq!(ends(10 * SECOND, 20 * SECOND, &[3600 * SECOND]).await.as_secs(), 30);
        assert_eq!(ends(10 * SECOND, 20 * SECOND, &[SECOND; 3600]).await.as_secs(), 30);
        assert_eq!(ends(10 * SECOND, Duration::ZERO, &[3600 * SECOND]).await.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_has_its_own_time_and_an_answer_in_time_is_an_answer() {
        let time = CallTime::new();
        let slow = || tokio::time::sleep(9 * SECOND);
        for _ in 0..3 {
            assert!(time.begin(10 * SECOND, Duration::ZERO).before(slow()).await.is_ok());
        }
        assert!(time.begin(8 * SECOND, Duration::ZERO).before(slow()).await.is_err());
    }
}
