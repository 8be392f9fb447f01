//! What goes wrong, in vCenter's words.

use super::value::{Object, Output, Value};

/// A method's fault: its type, its sentence, and the fields that the type carries.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub message: String,
    /// `None`: the request never reached a method, so the fault has no typed detail.
    pub detail: Option<Object>,
}

impl Fault {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), detail: Some(Object::subtype(kind)) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Fault {
        self.detail = self.detail.map(|detail| detail.with(name, value));
        self
    }

    pub fn is(&self, kind: &str) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.kind == kind)
    }

    /// The request cannot be understood.
    pub fn request(message: impl Into<String>) -> Fault {
        Fault::new("InvalidRequest", message)
    }

    pub fn not_authenticated() -> Fault {
        Fault::new("NotAuthenticated", "The session is not authenticated.")
    }

    pub fn invalid_login(message: &str) -> Fault {
        Fault::new("InvalidLogin", message)
    }

    pub fn invalid_argument(property: &str) -> Fault {
        let message = format!("A specified parameter was not correct: {property}");
        Fault::new("InvalidArgument", message).with("invalidProperty", property)
    }

    pub fn not_found(id: &str) -> Fault {
        Fault::new("ManagedObjectNotFound", format!("The object '{id}' has already been deleted or has not been completely created"))
    }

    pub fn file(path: &str, why: &str) -> Fault {
        Fault::new("FileFault", format!("Error caused by file {path}: {why}")).with("file", path)
    }

    /// A vCenter has this, the lab does not.
    pub fn unimplemented(what: &str) -> Fault {
        Fault::new("NotImplemented", format!("the lab does not implement {what}"))
    }

    /// A failure of the lab's own files; never part of a scenario.
    pub fn lab(error: impl std::fmt::Display) -> Fault {
        Fault::new("SystemError", format!("the lab itself failed: {error}")).with("reason", "lab")
    }

    /// As it stands in a task's `error`.
    pub fn localized(&self) -> Object {
        let detail = self.detail.clone().unwrap_or_else(|| Object::subtype("SystemError"));
        Object::new("LocalizedMethodFault").with("fault", detail).with("localizedMessage", &self.message)
    }

    pub(super) fn write(&self, out: &mut Output) {
        out.open("soapenv:Fault", &[]);
        out.open("faultcode", &[]).text("ServerFaultCode").close("faultcode");
        out.open("faultstring", &[]).text(&self.message).close("faultstring");
        if let Some(detail) = &self.detail {
            out.open("detail", &[]);
            let name = format!("{}Fault", detail.kind);
            let attribute = format!("{}:type", out.instance_prefix);
            out.open(&name, &[("xmlns", super::VIM), (&attribute, detail.kind)]);
            detail.fields.iter().for_each(|(field, value)| value.write(out, field));
            out.close(&name);
            out.close("detail");
        }
        out.close("soapenv:Fault");
    }
}
