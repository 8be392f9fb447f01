//! The suite `spine`: a VM replicates to S3 and its replica is proven identical, end to end.

mod bad_line;
mod changes;
mod commands;
mod cycles;
mod demo;
mod dialects;
mod faults;
mod first_use;
mod fleet;
mod kills;
mod lost;
mod matrix;
mod network;
mod outlook;
mod peers;
mod plugins;
mod restore;
mod retention;
mod sdk;
mod secrets;
mod sentences;
mod spread;
mod stopping;
mod stores;
mod tamper;
mod throttle;
