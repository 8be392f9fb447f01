//! Decisions, and nothing else: no I/O, no async, no clock. Facts are folded into state, and state and time say what to do next.

pub mod admission;
pub mod calendar;
pub mod churn;
pub mod distrust;
pub mod forecast;
pub mod governor;
pub mod interval;
pub mod mode;
pub mod reaction;
pub mod replica;
pub mod retention;
pub mod set_back;
pub mod spread;
pub mod throttle;
pub mod timing;
pub mod verdict;
pub mod vm;
pub mod waiting;
