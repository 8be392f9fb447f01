//! `transload simulate`: a whole programme in virtual time, under the rules that the agent itself decides by.
//!
//! ```text
//!   fleet file ─▶ Fleet ─┐                                           ┌─▶ day each wave is ready, length of its window
//!   limits, calendar, ───┼─▶ Programme: due ─▶ ask ─▶ enter ─▶ open ─┼─▶ RPO: age of the newest recovery point
//!   throttle, interval ──┘      ▲    (policy::admission)     │       └─▶ which limit held whom, and for how long
//!                               └──── closed ◀── line ◀──────┘
//! ```
//!
//! Admission, interval and calendar are the policy of the agent, called and not copied. What is modelled is the world: how fast disks, hosts
//! and the line are (`line.rs`), and what changes meanwhile (`churn.rs`). Nothing is drawn by chance: the same fleet gives the same answer.
//!
//! Deliberately absent: faults, and datastores that fill up. They cost time that nobody can plan; a forecast with them would be a guess.

mod ages;
mod alternative;
mod churn;
mod fleet;
mod line;
mod outcome;
mod places;
mod programme;

pub use ages::Quantiles;
pub use alternative::Alternative;
pub use fleet::Fleet;
pub use outcome::{Outcome, Quantity, WaveOutcome};
pub use programme::run;

#[cfg(test)]
mod tests;
