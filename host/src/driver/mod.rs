//! Effects in the order that policy decides: next steps → perform → append the fact → apply it.
//!
//! ```text
//!            ┌────────────── facts ──────────────┐
//!            ▼                                   │
//!   Ledger<Vm> ─ next_steps(now) ─▶ perform ─────┘      gateway.rs, perform.rs: one task a VM
//!                  ▲ a seat before a cycle     fleet.rs: one broker an agent
//!   Ledger<Replica> ─ newest commit ─▶ judge ────┘      judge.rs: one task a VM on the receiver's side
//! ```
//!
//! A task owns its VM's state alone and waits for the world in one place. After a crash there is nothing to do but to go on.

pub mod expected;
pub mod fleet;
mod flow;
pub mod gateway;
pub mod hours;
pub mod judge;
pub mod order;
mod perform;
pub mod relay;
pub mod replicas;
pub mod retention;
pub mod retry;
pub mod spreading;
pub mod store;
pub mod stores;
pub mod throttle;
mod tries;
pub mod waypoints;
