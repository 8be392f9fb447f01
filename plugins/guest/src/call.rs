//! One call of the host's to a store, with generated types behind our words.

use std::marker::PhantomData;

use crate::bindings::transload::plugin as wit;
use crate::fault::Fault;
use crate::http::{BodyPart, Extent, Request, Response};
use crate::imports::{self, Imports};
use crate::ports::{Clock, Http, Secrets};
use crate::store::{Body, Digest, Digests, Incoming, Transfer};

pub struct Sealed<'a>(pub &'a wit::bulk::SealedBody);

impl Body for Sealed<'_> {
    fn length(&self) -> u64 {
        self.0.length()
    }
}

impl Digests for Sealed<'_> {
    fn digest(&self, digest: Digest) -> Result<Vec<u8>, Fault> {
        let algorithm = match digest {
            Digest::Sha256 => wit::bulk::DigestAlgorithm::Sha256,
            Digest::Crc32c => wit::bulk::DigestAlgorithm::Crc32c,
        };
        self.0.digest(algorithm).map_err(imports::fault)
    }
}

pub struct Arriving(pub wit::http::Incoming);

impl Incoming for Arriving {
    fn status(&self) -> u16 {
        self.0.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    fn length(&self) -> Option<u64> {
        self.0.length()
    }

    fn fault_body(&self) -> Result<Vec<u8>, Fault> {
        self.0.fault_body().map_err(imports::fault)
    }
}

/// The bodies of a call live as long as it does.
#[derive(Default)]
pub struct Call<'a>(PhantomData<&'a ()>);

impl Http for Call<'_> {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        Imports.send(request, body)
    }
}

impl Secrets for Call<'_> {
    fn sign_chain(&self, secret: &str, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        Imports.sign_chain(secret, prefix, steps)
    }
}

impl Clock for Call<'_> {
    fn now(&self) -> u64 {
        Imports.now()
    }
}

impl<'a> Transfer for Call<'a> {
    type Body = Sealed<'a>;
    type Incoming = Arriving;

    fn put(&self, request: &Request, body: &Sealed<'a>) -> Result<Response, Fault> {
        wit::http::put(&imports::to_request(request), body.0).map(imports::response).map_err(imports::fault)
    }

    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Arriving, Fault> {
        let range = range.map(imports::to_extent);
        wit::http::get(&imports::to_request(request), range).map(Arriving).map_err(imports::fault)
    }
}
