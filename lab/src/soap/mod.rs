//! SOAP 1.1 as vCenter speaks it, with nothing in it that knows a virtual machine.
//!
//! ```text
//!   bytes ─▶ element ─▶ request(method, this, arguments) ─▶ … handler … ─▶ value | fault ─▶ bytes
//! ```

mod arguments;
mod element;
mod envelope;
mod fault;
mod value;

pub(crate) use arguments::Arguments;
pub(crate) use envelope::{Request, Response, parse};
pub(crate) use fault::Fault;
pub(crate) use value::{Moref, Object, Value};

pub(crate) const VIM: &str = "urn:vim25";
pub(crate) const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(crate) const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
