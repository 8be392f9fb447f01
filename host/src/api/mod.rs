//! Commands in, views out; no decisions. The unix socket speaks one JSON object a line.

pub mod command;
pub mod metrics;
pub mod outlook;
pub mod pace;
pub mod sentences;
pub mod socket;
pub mod status;
pub mod tracking;
pub mod verdicts;
