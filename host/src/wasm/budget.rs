//! Time that many pieces of work share. Each has a deadline of its own beside it; without this one, a thousand would have a thousand.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Fault;

pub struct Budget {
    whole: Duration,
    left: Duration,
    /// What all the work is for, in words.
    what: String,
}

impl Budget {
    pub fn new(whole: Duration, what: impl Into<String>) -> Budget {
        Budget { whole, left: whole, what: what.into() }
    }

    /// The work's answer, if it comes within what is left.
    pub async fn spend<T>(&mut self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(self.left, work).await;
        self.left = self.left.saturating_sub(begun.elapsed());
        answer.unwrap_or_else(|_| Err(Fault::unavailable(format!("{} did not come within {} s", self.what, self.whole.as_secs()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_end_together_whatever_each_takes() {
        let (mut budget, begun) = (Budget::new(Duration::from_secs(10), "100 bytes"), Instant::now());
        let piece = async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        };
        for _ in 0..3 {
            budget.spend(piece()).await.unwrap();
            // Time between two pieces is nobody's.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(budget.spend(piece()).await.unwrap_err().message, "100 bytes did not come within 10 s");
        assert_eq!(begun.elapsed().as_secs(), 10 + 3 * 60);
    }
}
