//! Something that moves names, addresses or traffic, as the host calls it.
//!
//! ```text
//!   host ─▶ export_cutover!(Balancer) ─▶ plan (reaches nothing) ─▶ steps
//!                                        check ─▶ before ─▶ apply ─▶ verify ─▶ perhaps undo: days apart, in fresh instances
//! ```
//!
//! All that connects the calls is a step's `detail`, and what `check` saw. `cutover.wit` says what each function promises; the
//! conformance kit (`transload plugin test --wave FILE`) tries it.
//!
//! A whole cutover, of a load balancer that sends each name to one address:
//!
//! ```
//! use transload_guest::cutover::{Context, Cutover, Description, MovedVm, Phase, Step};
//! use transload_guest::fault::Fault;
//! use transload_guest::http::{BodyPart, Method, Request};
//! use transload_guest::imports::Imports;
//! use transload_guest::ports::Http;
//!
//! struct Balancer {
//!     url: String,
//! }
//!
//! impl Balancer {
//!     fn address(&self, step: &Step) -> Result<String, Fault> {
//!         let response = Imports.send(&Request::new(Method::Get, self.place(step)), &[])?;
//!         match response.status {
//!             200 => String::from_utf8(response.body).map_err(|_| Fault::corrupt("The address is no text.")),
//!             status => Err(refused(status)),
//!         }
//!     }
//!
//!     fn place(&self, step: &Step) -> String {
//!         format!("{}/{}", self.url, step.id.trim_start_matches("move:"))
//!     }
//!
//!     /// From one address to another, unless it is there. Anything else was made by somebody else, and is left as it is.
//!     fn replace(&self, step: &Step, from: &str, to: &str) -> Result<(), Fault> {
//!         match self.address(step)? {
//!             now if now == to => Ok(()),
//!             now if now == from => {
//!                 let request = Request::new(Method::Put, self.place(step));
//!                 match Imports.send(&request, &[BodyPart::Bytes(to.as_bytes().to_vec())])?.status {
//!                     200..=299 => Ok(()),
//!                     status => Err(refused(status)),
//!                 }
//!             }
//!             now => Err(Fault::conflict(format!("Somebody else changed it: it is {now}, and {from} was expected."))),
//!         }
//!     }
//! }
//!
//! impl Cutover for Balancer {
//!     // A plugin with more than one setting reads them with serde_json.
//!     fn open(settings: &str) -> Result<Balancer, Fault> {
//!         let url = settings.strip_prefix(r#"{"url":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
//!         let url = url.ok_or_else(|| Fault::invalid("The settings of this balancer cannot be used: only url may stand there."))?;
//!         Ok(Balancer { url: url.to_owned() })
//!     }
//!
//!     fn describe(&self) -> Result<Description, Fault> {
//!         Ok(Description { product: format!("Balancer at {}", self.url) })
//!     }
//!
//!     fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault> {
//!         let step = |vm: &MovedVm| {
//!             let address = vm.target_addresses.first()?;
//!             Some(Step {
//!                 id: format!("move:{}", vm.name),
//!                 phase: Phase::Switch,
//!                 summary: format!("{} is served by {address}", vm.name),
//!                 detail: address.clone(),
//!                 settle_seconds: 0,
//!             })
//!         };
//!         Ok(context.vms.iter().filter_map(step).collect())
//!     }
//!
//!     fn check(&self, step: &Step) -> Result<String, Fault> {
//!         self.address(step)
//!     }
//!
//!     fn apply(&self, step: &Step, before: &str, _idempotency_key: &str) -> Result<(), Fault> {
//!         self.replace(step, before, &step.detail)
//!     }
//!
//!     fn verify(&self, step: &Step) -> Result<bool, Fault> {
//!         Ok(self.address(step)? == step.detail)
//!     }
//!
//!     fn undo(&self, step: &Step, before: &str) -> Result<(), Fault> {
//!         self.replace(step, &step.detail, before)
//!     }
//! }
//!
//! fn refused(status: u16) -> Fault {
//!     match status {
//!         401 | 403 => Fault::denied(format!("The balancer says that this is not allowed: status {status}.")),
//!         404 => Fault::not_found("The balancer does not know this name."),
//!         _ => Fault::unavailable(format!("The balancer answered with status {status}.")),
//!     }
//! }
//!
//! transload_guest::export_cutover!(Balancer);
//!
//! let vm = MovedVm {
//!     name: "web01".to_owned(),
//!     source_addresses: vec!["192.0.2.10".to_owned()],
//!     target_addresses: vec!["198.51.100.10".to_owned()],
//! };
//! let wave = Context { wave: "first".to_owned(), vms: vec![vm], settings: "{}".to_owned() };
//! let steps = Balancer::open(r#"{"url":"https://balancer.test"}"#)?.plan(&wave)?;
//! assert_eq!((steps[0].id.as_str(), steps[0].detail.as_str()), ("move:web01", "198.51.100.10"));
//! # Ok::<(), Fault>(())
//! ```

use crate::fault::Fault;

/// What a cutover plugin is. Each call opens it anew, for any call may meet a fresh instance.
pub trait Cutover: Sized {
    /// `settings`: what the operator wrote under `config`, as a JSON object. `invalid` says what is wrong with them. Reaches nothing, for
    /// `plan` comes next, in which whatever leaves the plugin is `denied`.
    fn open(settings: &str) -> Result<Self, Fault>;

    /// Logs in if need be and says who answers.
    fn describe(&self) -> Result<Description, Fault>;

    /// The steps in order, those of `Prepare` first. A function of the wave and the settings, and of nothing else.
    fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault>;

    /// What is there now, as `undo` will need it. Touches nothing.
    fn check(&self, step: &Step) -> Result<String, Fault>;

    /// Does the step, unless it is done; `conflict` when what is there is neither `before` nor done.
    fn apply(&self, step: &Step, before: &str, idempotency_key: &str) -> Result<(), Fault>;

    /// Whether the world now answers as the step promised.
    fn verify(&self, step: &Step) -> Result<bool, Fault>;

    /// Restores `before`, unless it is restored; `conflict` when what is there is neither what the step makes nor `before`.
    fn undo(&self, step: &Step, before: &str) -> Result<(), Fault>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub product: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedVm {
    pub name: String,
    pub source_addresses: Vec<String>,
    pub target_addresses: Vec<String>,
}

/// A wave: VMs that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub wave: String,
    pub vms: Vec<MovedVm>,
    /// This plugin's part of the wave file, as JSON.
    pub settings: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Hours or days ahead: lower a TTL.
    Prepare,
    /// In the window.
    Switch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Unique in the plan, and the same every time the same plan is made.
    pub id: String,
    pub phase: Phase,
    /// For people: what will be different afterwards.
    pub summary: String,
    /// For the plugin: all that the other calls need.
    pub detail: String,
    /// Seconds to wait after it before a dependent step may run.
    pub settle_seconds: u32,
}

/// Makes a type that is a [`Cutover`] what the component exports. It stands once in a plugin.
#[macro_export]
macro_rules! export_cutover {
    ($cutover:ty) => {
        const _: () = {
            type Exported = $cutover;
            const _: () = $crate::cutover::is_cutover::<Exported>();
            #[cfg(target_family = "wasm")]
            $crate::bindings::cutover::export! { Exported with_types_in $crate::bindings::cutover }
        };
    };
}

#[doc(hidden)]
pub const fn is_cutover<C: Cutover>() {}
