//! Envelopes out, replies in. One exchange, no session and no retry: those are above.
//!
//! The server checks the order of elements in a request, so a `Call` writes them in the order in which it is built; each caller follows
//! the order of vim25's schema.

use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Encoding, Method, Request, Response, retry_after_ms};
use transload_guest::ports::Http;
use transload_guest::xml::{self, Element, escaped};

use crate::moref::Moref;

/// What kept a call from its answer: a fault of the transport, or one that vSphere spoke.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    Transport(Fault),
    Soap(Box<SoapFault>),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Transport(fault)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct SoapFault {
    /// The type's name in vim25: "NoPermission".
    pub kind: String,
    pub message: String,
    pub detail: Element,
    /// What was being done, for the sentence: "open a snapshot of vm-12".
    pub doing: String,
    /// The user that the session belongs to.
    pub user: String,
    /// What the object of a right that is lacking is called, once somebody looked.
    pub object: Option<String>,
}

impl Refusal {
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Refusal::Soap(fault) if fault.kind == kind)
    }
}

/// One operation on its way.
#[derive(Debug, Clone)]
pub struct Call {
    operation: String,
    parts: Vec<BodyPart>,
    text: String,
}

impl Call {
    pub fn new(operation: &str, this: &Moref) -> Call {
        Call { operation: operation.to_owned(), parts: Vec::new(), text: String::new() }.object("_this", this)
    }

    pub fn text(mut self, name: &str, value: &str) -> Call {
        self.text.push_str(&format!("<{name}>{}</{name}>", escaped(value)));
        self
    }

    pub fn flag(self, name: &str, value: bool) -> Call {
        self.text(name, if value { "true" } else { "false" })
    }

    pub fn number(self, name: &str, value: u64) -> Call {
        self.text(name, &value.to_string())
    }

    pub fn object(mut self, name: &str, moref: &Moref) -> Call {
        self.text.push_str(&format!(r#"<{name} type="{}">{}</{name}>"#, escaped(&moref.kind), escaped(&moref.value)));
        self
    }

    /// An element around what `inner` writes.
    pub fn within(mut self, name: &str, inner: impl FnOnce(Call) -> Call) -> Call {
        self.text.push_str(&format!("<{name}>"));
        let mut call = inner(self);
        call.text.push_str(&format!("</{name}>"));
        call
    }

    /// The same with an `xsi:type`, for fields whose declared type is abstract.
    pub fn within_typed(mut self, name: &str, kind: &str, inner: impl FnOnce(Call) -> Call) -> Call {
        self.text.push_str(&format!(r#"<{name} xsi:type="{kind}">"#));
        let mut call = inner(self);
        call.text.push_str(&format!("</{name}>"));
        call
    }

    /// A secret, which the host writes in.
    pub fn secret(mut self, name: &str, secret: &str) -> Call {
        self.text.push_str(&format!("<{name}>"));
        self.parts.push(BodyPart::Bytes(std::mem::take(&mut self.text).into_bytes()));
        self.parts.push(BodyPart::Secret { name: secret.to_owned(), encoding: Encoding::XmlText });
        self.text.push_str(&format!("</{name}>"));
        self
    }

    fn envelope(&self) -> Vec<BodyPart> {
        let head = format!(
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" "#,
                r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><{} xmlns="urn:vim25">"#
            ),
            self.operation
        );
        let tail = format!("{}</{}></soapenv:Body></soapenv:Envelope>", self.text, self.operation);
        let mut parts = vec![BodyPart::Bytes(head.into_bytes())];
        parts.extend(self.parts.iter().cloned());
        parts.push(BodyPart::Bytes(tail.into_bytes()));
        parts
    }
}

/// A reply's operation element, and the cookie when the server set one.
pub struct Answer {
    pub element: Element,
    pub cookie: Option<String>,
}

/// Where calls go and as whom.
pub struct Wire<'a> {
    pub http: &'a dyn Http,
    pub origin: &'a str,
    pub user: &'a str,
}

impl Wire<'_> {
    pub fn post(&self, version: &str, cookie: Option<&str>, doing: &str, call: &Call) -> Result<Answer, Refusal> {
        let mut request = Request::new(Method::Post, format!("{}/sdk", self.origin))
            .header("content-type", "text/xml; charset=utf-8")
            .header("soapaction", format!("\"urn:vim25/{version}\""));
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = self.http.send(&request, &call.envelope())?;
        self.read(response, doing, &call.operation)
    }

    fn read(&self, response: Response, doing: &str, operation: &str) -> Result<Answer, Refusal> {
        // SOAP 1.1 carries its faults in a 500; every other status speaks of the road, not of the call.
        if !matches!(response.status, 200 | 500) {
            return Err(self.bad_status(&response, doing).into());
        }
        let Ok(envelope) = xml::parse(&response.body) else {
            return Err(match response.status {
                200 => Fault::corrupt(format!("{} answered something that is not SOAP to the request to {doing}.", self.origin)),
                _ => Fault::unavailable(format!("{} failed with status 500 and no explanation at the request to {doing}.", self.origin)),
            }
            .into());
        };
        let body = envelope.child("Body").ok_or_else(|| Fault::corrupt(format!("{} answered without a SOAP body.", self.origin)))?;
        if let Some(fault) = body.child("Fault") {
            return Err(Refusal::Soap(Box::new(self.soap_fault(fault, doing))));
        }
        let wanted = format!("{operation}Response");
        let element = body.child(&wanted).cloned();
        let element =
            element.ok_or_else(|| Fault::corrupt(format!("{} did not answer the request to {doing} with {wanted}.", self.origin)))?;
        Ok(Answer { element, cookie: cookie_of(&response) })
    }

    fn soap_fault(&self, fault: &Element, doing: &str) -> SoapFault {
        let detail = fault.child("detail").and_then(|detail| detail.children().first()).cloned().unwrap_or_default();
        let named = detail.name.strip_suffix("Fault").unwrap_or(&detail.name);
        SoapFault {
            kind: detail.xsi_type().unwrap_or(named).to_owned(),
            message: fault.text_of("faultstring").unwrap_or_default().to_owned(),
            detail,
            doing: doing.to_owned(),
            user: self.user.to_owned(),
            object: None,
        }
    }

    pub fn bad_status(&self, response: &Response, doing: &str) -> Fault {
        let (origin, status) = (self.origin, response.status);
        let wait = retry_after_ms(response.header("retry-after"));
        match status {
            401 => Fault::auth(format!("{origin} wants a new login before it can {doing}.")),
            403 => Fault::denied(format!("{origin} does not let {} {doing} (status 403).", self.user)),
            404 => Fault::not_found(format!("There is no vSphere API at {origin}/sdk: check url in the settings.")),
            429 | 503 => {
                Fault::throttled(format!("{origin} is out of sessions or busy and did not {doing} (status {status}).")).retry_after(wait)
            }
            300..=399 => {
                Fault::invalid(format!("{origin} redirects the vSphere API elsewhere (status {status}): check url in the settings."))
            }
            500..=599 => Fault::unavailable(format!("{origin} could not {doing} (status {status}).")).retry_after(wait),
            _ => Fault::invalid(format!("{origin} refused the request to {doing} (status {status}).")),
        }
    }
}

/// `vmware_soap_session="52a0…"`: the quotes belong to the value and go back as they came.
fn cookie_of(response: &Response) -> Option<String> {
    let cookies = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs = cookies.filter_map(|(_, value)| value.split(';').next()).map(str::trim);
    let mut sessions = pairs.filter(|pair| pair.starts_with("vmware_soap_session="));
    sessions.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Script, http, soap_fault};

    fn ask(response: Response) -> Result<Answer, Refusal> {
        let script = Script::answering([response]);
        let wire = Wire { http: &script, origin: "https://vc.test", user: "u" };
        wire.post("8.0.3.0", None, "read the clock", &Call::new("CurrentTime", &Moref::new("ServiceInstance", "ServiceInstance")))
    }

    #[test]
    fn elements_stand_in_the_order_written_and_are_escaped() {
        let call = Call::new("X", &Moref::vm("vm-1")).text("name", "a<b>&").flag("memory", false).within("spec", |c| c.number("n", 7));
        let BodyPart::Bytes(tail) = call.envelope().pop().unwrap() else { panic!("bytes") };
        let tail = String::from_utf8(tail).unwrap();
        let wanted =
            r#"<_this type="VirtualMachine">vm-1</_this><name>a&lt;b&gt;&amp;</name><memory>false</memory><spec><n>7</n></spec></X>"#;
        assert!(tail.starts_with(wanted), "{tail}");
    }

    #[test]
    fn a_secret_is_a_part_of_its_own() {
        let call =
            Call::new("Login", &Moref::new("SessionManager", "sm")).text("userName", "u").secret("password", "pw").text("locale", "en");
        let parts = call.envelope();
        assert_eq!(parts[2], BodyPart::Secret { name: "pw".into(), encoding: Encoding::XmlText });
        assert!(matches!(&parts[1], BodyPart::Bytes(bytes) if bytes.ends_with(b"<password>")));
        assert!(matches!(&parts[3], BodyPart::Bytes(bytes) if bytes.starts_with(b"</password><locale>")));
    }

    #[test]
    fn the_kind_of_a_fault_is_its_type_under_any_prefix_or_else_its_name() {
        let Err(typed) = ask(soap_fault("NoPermission", "no")) else { panic!("a fault") };
        assert!(typed.is("NoPermission"));
        let body = r#"<E:Envelope xmlns:E="e"><E:Body><E:Fault><faultstring>x</faultstring><detail><InvalidLoginFault/></detail></E:Fault></E:Body></E:Envelope>"#;
        let Err(named) = ask(http(500, &[], body)) else { panic!("a fault") };
        assert!(named.is("InvalidLogin"));
    }

    #[test]
    fn a_status_of_the_road_is_not_taken_for_an_answer() {
        use transload_guest::fault::FaultKind::*;
        for (status, kind) in
            [(401, Auth), (403, Denied), (404, NotFound), (302, Invalid), (502, Unavailable), (503, Throttled), (500, Unavailable)]
        {
            match ask(http(status, &[("retry-after", "9")], "<html>")) {
                Err(Refusal::Transport(fault)) => {
                    assert_eq!(fault.kind, kind, "{status}");
                    assert_eq!(fault.retry_after_ms.is_some(), matches!(status, 502 | 503), "{status}");
                }
                _ => panic!("{status} is not an answer"),
            }
        }
    }

    #[test]
    fn a_body_that_answers_another_question_is_corrupt() {
        let other = r#"<e:Envelope xmlns:e="e"><e:Body><LoginResponse/></e:Body></e:Envelope>"#;
        assert!(matches!(ask(http(200, &[], other)), Err(Refusal::Transport(fault)) if fault.message.contains("CurrentTimeResponse")));
    }

    #[test]
    fn the_session_cookie_keeps_its_quotes_and_loses_its_attributes() {
        let headers = [("set-cookie", "other=1; Path=/"), ("set-cookie", r#"vmware_soap_session="52a0-b"; Path=/; HttpOnly; Secure;"#)];
        assert_eq!(cookie_of(&http(200, &headers, "")).as_deref(), Some(r#"vmware_soap_session="52a0-b""#));
    }
}
