//! A host for tests: replies are scripted, requests are kept, and the chain of HMACs is computed for real.

use std::cell::RefCell;
use std::collections::VecDeque;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Request, Response};
use transload_guest::ports::{Clock, Http, SecretForm, Secrets};
use transload_guest::store::{Body, Digest, Digests, Incoming, Transfer};

use crate::settings::Settings;

pub fn settings() -> Settings {
    let json = r#"{"endpoint":"https://s3.test","region":"eu-1","bucket":"my-bucket","access-key":"AKID"}"#;
    Settings::parse(json).unwrap()
}

/// The chain as the host runs it, over this secret.
pub struct Chain(pub &'static str);

impl Secrets for Chain {
    fn sign_chain(&self, _: &str, _: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        let mut key = [prefix, self.0.as_bytes()].concat();
        for step in steps {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(step);
            key = mac.finalize().into_bytes().to_vec();
        }
        Ok(key)
    }
}

pub struct Sealed(pub Vec<u8>);

impl Body for Sealed {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Digests for Sealed {
    fn digest(&self, digest: Digest) -> Result<Vec<u8>, Fault> {
        use sha2::Digest as _;
        Ok(match digest {
            Digest::Md5 => return Err(Fault::unsupported("S3 is never told an MD5.")),
            Digest::Sha256 => Sha256::digest(&self.0).to_vec(),
            Digest::Crc32c => crc32c::crc32c(&self.0).to_be_bytes().to_vec(),
        })
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

impl Http for Script {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        let bytes = body.iter().flat_map(|part| match part {
            BodyPart::Bytes(bytes) => bytes.clone(),
            BodyPart::Secret { .. } => panic!("S3 puts no secret into a body"),
        });
        Ok(self.next(request, bytes.collect(), None))
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

impl Secrets for Script {
    fn sign_chain(&self, secret: &str, form: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        Chain("very secret").sign_chain(secret, form, prefix, steps)
    }
}

impl Clock for Script {
    fn now(&self) -> u64 {
        1_440_938_160
    }
}
