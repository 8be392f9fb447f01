//! What the end-to-end tests stand on: the real agent as a process, in front of a lab.
//!
//! ```text
//!   Site: lab (vCenter, S3) in this process, and a folder
//!     └─▶ Setup: configuration, secrets, state, replicas of one agent
//!           └─▶ Agent: `transload run` as a child; asked through the command line with --json, killed by its own id
//!                 └─▶ claims: the replica's digest, taken from the file, against what the lab froze
//! ```
//!
//! Nothing here links the agent's code: an outsider's view is all there is.

pub mod agent;
pub mod azurite;
pub mod bad_line;
pub mod claims;
pub mod names;
pub mod parts;
pub mod proxy;
pub mod setup;
pub mod site;
pub mod survivor;
pub mod weed;

pub use agent::{Agent, Said};
pub use setup::Setup;
pub use site::Site;
pub use survivor::Survivor;

pub const MIB: u64 = 1 << 20;
