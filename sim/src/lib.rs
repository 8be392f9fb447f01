//! The simulation: the real policy, driver, pipeline, log and receiver, with both of their ends in memory and everything that can go
//! wrong drawn from a seed.
//!
//! ```text
//!   memory source ─▶ gateway ─▶ memory sink ─▶ receiver ─▶ memory files
//!        ▲ guests write          ▲ lost replies, doubled puts  ▲ writes that were not flushed are lost
//!        └──── weather: a store that is away for hours, a hypervisor that is busy, a clock that somebody sets
//!        └─────────────── world: virtual time, a seed, and a death at every effect ───────────────┘
//! ```
//!
//! Determinism rests on: one thread, tokio's paused clock, biased selects, seeded generators, computations in place, no map with a random
//! order. `same_seed_same_bytes` tests it. After a crash the process's memory is gone, the journal and what was flushed stay.

pub mod by_hand;
pub mod clock;
pub mod datacentre;
pub mod files;
pub mod further;
pub mod journal;
mod operator;
pub mod plan;
pub mod retention;
pub mod rivalry;
pub mod scenario;
pub mod several;
pub mod sink;
pub mod source;
pub mod weather;
pub mod world;
