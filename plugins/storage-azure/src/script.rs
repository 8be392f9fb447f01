//! A host for tests: replies are scripted, requests are kept, and signatures are computed for real.

use std::cell::RefCell;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Request, Response};
use transload_guest::ports::{Clock, Http};
use transload_guest::store::{Body, Incoming, Transfer};

use crate::ports::AccountKey;
use crate::settings::Settings;

pub fn settings() -> Settings {
    Settings::parse(r#"{"endpoint":"https://acct1.test","account":"acct1","container":"my-container"}"#).unwrap()
}

/// A key as the operator has it, used as the host uses it.
pub struct Key(pub &'static str);

impl AccountKey for Key {
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(self.0).unwrap()).unwrap();
        mac.update(text.as_bytes());
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

pub struct Sealed(pub Vec<u8>);

impl Body for Sealed {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }
}

#[derive(Debug)]
pub struct Reply(pub Response);

impl Incoming for Reply {
    fn status(&self) -> u16 {
        self.0.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name).map(str::to_owned)
    }

    fn length(&self) -> Option<u64> {
        self.0.header("content-length").and_then(|length| length.parse().ok())
    }

    fn fault_body(&self) -> Result<Vec<u8>, Fault> {
        assert!(!(200..300).contains(&self.0.status), "the host denies this");
        Ok(self.0.body.clone())
    }
}

#[derive(Default)]
pub struct Script {
    replies: RefCell<VecDeque<Response>>,
    pub seen: RefCell<Vec<Seen>>,
}

/// A request with its body and the range that the host would write.
pub type Seen = (Request, Vec<u8>, Option<Extent>);

impl Script {
    pub fn answering(replies: impl IntoIterator<Item = Response>) -> Script {
        Script { replies: RefCell::new(replies.into_iter().collect()), ..Script::default() }
    }

    fn next(&self, request: &Request, body: Vec<u8>, range: Option<Extent>) -> Response {
        self.seen.borrow_mut().push((request.clone(), body, range));
        self.replies.borrow_mut().pop_front().expect("a request that the test did not expect")
    }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Response { status, headers, body: body.as_bytes().to_vec() }
}

/// A refusal as Azure sends it: the code stands in a header and in the body.
pub fn refusal(status: u16, code: &str) -> Response {
    reply(status, &[("x-ms-error-code", code)], &format!("<Error><Code>{code}</Code><Message>No.</Message></Error>"))
}

impl Http for Script {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        assert!(body.is_empty(), "no small exchange with Azure has a body");
        Ok(self.next(request, Vec::new(), None))
    }
}

impl Transfer for Script {
    type Body = Sealed;
    type Incoming = Reply;

    fn put(&self, request: &Request, body: &Sealed) -> Result<Response, Fault> {
        Ok(self.next(request, body.0.clone(), None))
    }

    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Reply, Fault> {
        Ok(Reply(self.next(request, Vec::new(), range)))
    }
}

impl AccountKey for Script {
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault> {
        Key("dmVyeSBzZWNyZXQ=").mac(text)
    }
}

impl Clock for Script {
    fn now(&self) -> u64 {
        1_440_938_160
    }
}
