//! Two agents that both believe they own a VM: a second one, with a journal and files of its own, begins to work on the same source and in
//! the same store while the first one is at it.
//!
//! ```text
//!   first agent:  ── cycle ── cycle ─┬─ cycle … halts at its next look at the owner, dies and comes back, and halts again
//!   second agent:                    └─ takes the VM ── cycle ── cycle ── cycle
//! ```
//!
//! Nothing makes the first one stop at once. The fence has to hold all the same: one commit a number, markers that are behind a receipt, a
//! replica that is what some snapshot froze, and in the end no snapshot of either.

use std::time::Duration;

use transload::driver::gateway::VmView;

use crate::scenario::{Plan, Scene};
use crate::world::World;

/// One seed in five has a rival. Drawn from a generator of its own.
pub fn from_seed(seed: u64) -> Option<Duration> {
    let world = World::new(seed ^ 0x0071_7a15);
    world.chance(0.2).then(|| Duration::from_secs(world.below(7200)))
}

/// Recovery points that the second agent adds.
const POINTS: u64 = 2;

impl Scene {
    /// After a history of one agent: the second one begins after this while.
    pub(crate) async fn rivalry(&self, plan: &Plan, after: Duration) -> Result<(), String> {
        self.world.note("another agent is started".to_owned());
        let second = self.another_agent();
        let reached = self.newest_point().await?;
        let goal = move |view: &VmView| {
            let point = view.vm.point.as_ref().map_or(0, |point| point.commit.cycle.0);
            view.vm.identity.is_some() && point >= reached + POINTS && view.vm.cycle.is_none() && view.steps.is_empty()
        };
        let both = async {
            let taking_over = async {
                tokio::time::sleep(after).await;
                second.live(goal).await
            };
            // The first one ends when it sees that it is not the owner; then it is dead for a while, and comes back.
            let (ended, result) = tokio::join!(self.lives_and_returns(), taking_over);
            ended?;
            result
        };
        tokio::select! {
            biased;
            result = both => result?,
            () = self.surroundings(plan.reshape) => return Err("guests never stop".to_owned()),
        }
        self.halts_again().await?;
        for scene in [self, &second] {
            scene.check_end(plan).await?;
        }
        Ok(())
    }

    async fn newest_point(&self) -> Result<u64, String> {
        Ok(self.vm_state().await?.point.map_or(0, |point| point.commit.cycle.0))
    }

    /// Lives until it sees that the VM is another agent's, with a few deaths on the way that it comes back from.
    async fn lives_and_returns(&self) -> Result<(), String> {
        for _ in 0..self.world.below(4) {
            let life = Duration::from_secs(self.world.below(1800));
            tokio::select! {
                biased;
                ended = self.live(|_| false) => return halted(ended),
                () = tokio::time::sleep(life) => {}
            }
            self.world.note("the first agent is killed".to_owned());
            self.crash_files();
            tokio::time::sleep(Duration::from_secs(self.world.below(600))).await;
        }
        halted(self.live(|_| false).await)
    }

    /// One that was halted and is started again does nothing to the VM.
    async fn halts_again(&self) -> Result<(), String> {
        let before = self.source.snapshots_made();
        halted(self.live(|_| false).await)?;
        match self.source.snapshots_made() - before {
            0 => Ok(()),
            more => Err(format!("an agent that does not own the VM took {more} snapshots")),
        }
    }
}

fn halted(ended: Result<(), String>) -> Result<(), String> {
    match ended {
        Err(what) if what.contains("the VM is halted") => Ok(()),
        other => Err(format!("the first agent should have halted: {other:?}")),
    }
}
