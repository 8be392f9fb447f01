//! The lab judged from outside, over its sockets.

mod changes;
mod control;
mod folder;
mod lease;
mod replica;
mod snapshots;
mod soap;
mod store;
mod support;
mod vmdk;
