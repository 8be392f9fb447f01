//! Transload moves virtual machines: it replicates their disks while they run, proves every copy, and goes back by one command.
//! ARCHITECTURE.md shows how the modules fit and who may use whom.

pub mod agent;
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cpu;
pub mod cutover;
pub mod desk;
pub mod driver;
pub mod files;
pub mod folder;
pub mod journal;
pub mod kit;
pub mod log;
pub mod memory;
pub mod model;
pub mod net;
pub mod pipeline;
pub mod policy;
pub mod random;
pub mod receiver;
pub mod secret;
pub mod simulate;
pub mod telemetry;
pub mod wasm;
pub mod waypoint;
