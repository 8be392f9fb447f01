//! A hypervisor that speaks the vSphere web-services API, with changed block tracking.
//!
//! ```text
//!   source calls ─▶ inventory, preflight, definition, placement ─┐
//!                   tracking, opening, closing, power  (tasks)   ├─▶ properties ─▶ session ─▶ soap ─▶ POST /sdk
//!                   changes                                      ┘                    │
//!                   reading ─▶ location ─▶ descriptor ─▶ GET /folder (named here, pulled by the host)
//!                                                                                     │
//!                    tokens: what the host keeps     sessions: cookies, probes, names ┘ volatile, shared by all instances
//! ```
//!
//! Disk bytes never come here: `open_range` names a ranged GET. Every verb that touches a VM first proves that it is the same VM.

pub mod changes;
pub mod closing;
pub mod definition;
pub mod descriptor;
pub mod devices;
pub mod explain;
pub mod folder;
pub mod inventory;
pub mod location;
pub mod moref;
pub mod naming;
pub mod opening;
pub mod placement;
pub mod power;
pub mod preflight;
pub mod properties;
pub mod reading;
pub mod recall;
pub mod session;
pub mod settings;
pub mod snapshots;
pub mod soap;
pub mod tasks;
pub mod tokens;
pub mod tracking;
pub mod verbs;
pub mod versions;
pub mod vm;

#[cfg(test)]
mod script;
