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
                let _permit = permits.acquire().await.expect("the semaphore is never closed");
                match tokio::task::spawn_blocking(work).await {
                    Ok(value) => value,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }
}
