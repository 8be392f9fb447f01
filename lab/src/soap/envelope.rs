//! The envelope around a call and around its answer.

use super::element;
use super::value::Output;
use super::{Arguments, ENVELOPE, Fault, Moref, SCHEMA_INSTANCE, VIM, Value};

/// One call: `method` on `this` with what is left of its arguments.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    pub this: Moref,
    pub arguments: Arguments,
}

/// Opens the envelope of a request.
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, Fault> {
    let root = element::parse(bytes).map_err(|error| Fault::request(format!("{error:#}")))?;
    if root.name != "Envelope" || root.namespace != ENVELOPE {
        return Err(Fault::request("the request is not a SOAP 1.1 envelope"));
    }
    let mut parts = root.children.into_iter().filter(|part| part.namespace == ENVELOPE);
    let body = match parts.next() {
        Some(header) if header.name == "Header" => parts.next(),
        other => other,
    };
    let body = body.filter(|part| part.name == "Body").ok_or_else(|| Fault::request("the envelope has no Body"))?;
    let mut calls = body.children.into_iter();
    let (Some(call), None) = (calls.next(), calls.next()) else {
        return Err(Fault::request("the Body must hold exactly one call"));
    };
    if call.namespace != VIM {
        return Err(Fault::request(format!("the call {} is not in the namespace {VIM}", call.name)));
    }
    let method = call.name.clone();
    let mut arguments = Arguments::new(call);
    let this = arguments.moref("_this")?;
    Ok(Request { method, this, arguments })
}

/// The answer to a call. `None` is a method without a result.
pub(crate) struct Response<'a> {
    pub method: &'a str,
    pub result: Result<Option<Value>, Fault>,
    pub instance_prefix: &'a str,
}

impl Response<'_> {
    pub fn to_xml(&self) -> String {
        let mut out = Output::new(self.instance_prefix);
        out.xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let instance = format!("xmlns:{}", self.instance_prefix);
        let namespaces =
            [("xmlns:soapenv", ENVELOPE), ("xmlns:xsd", "http://www.w3.org/2001/XMLSchema"), (instance.as_str(), SCHEMA_INSTANCE)];
        out.open("soapenv:Envelope", &namespaces).open("soapenv:Body", &[]);
        match &self.result {
            Ok(value) => {
                let name = format!("{}Response", self.method);
                out.open(&name, &[("xmlns", VIM)]);
                if let Some(value) = value {
                    value.write(&mut out, "returnval");
                }
                out.close(&name);
            }
            Err(fault) => fault.write(&mut out),
        }
        out.close("soapenv:Body");
        out.close("soapenv:Envelope");
        out.xml
    }
}
