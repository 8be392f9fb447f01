//! Where long computations run: on threads of their own, or in place for the simulation.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A bounded place for work that would keep an async thread busy for more than a few microseconds.
#[derive(Clone)]
pub enum Cpu {
    /// At most so many computations at once, each on a blocking thread.
    Threads(Arc<Semaphore>),
    /// At once, where it was asked for. Deterministic.
    Inline,
}

impl Cpu {
    pub fn threads(count: usize) -> Cpu {
        Cpu::Threads(Arc::new(Semaphore::new(count)))
    }

    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Cpu::Inline => work(),
            Cpu::Threads(permits) => {
                // A task of its own waits for the permit. A future in a stage that is held back is not polled, and were it to hold a permit
                // meanwhile, the stage in front of it could wait for that permit for ever.
                let permits = permits.clone();
                let computed = tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                    tokio::task::spawn_blocking(work).await
                });
                match computed.await {
                    Ok(Ok(value)) => value,
                    Ok(Err(error)) | Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_computation_that_nobody_looks_at_does_not_hold_up_another() {
        let cpu = Cpu::threads(1);
        let mut busy = Box::pin(cpu.run(|| std::thread::sleep(Duration::from_millis(50))));
        let mut waiting = Box::pin(cpu.run(|| 2));
        // Both have begun; from here on nobody polls the one that waits its turn.
        assert!((&mut busy).now_or_never().is_none() && (&mut waiting).now_or_never().is_none());
        busy.await;
        let another = tokio::time::timeout(Duration::from_secs(20), cpu.run(|| 3)).await;
        assert_eq!(another.expect("the one in front is not looked at, and still gives way"), 3);
        assert_eq!(waiting.await, 2);
    }
}
