//! A response whose body stays in the host: the guest reads the head and judges it, the host consumes the bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Response, StatusCode};
use wasmtime::component::Resource;

use super::bindings::http;
use super::lazy::accept;
use super::plugin::Plugin;
use super::policy::Allowed;
use super::state::{InstanceState, Refusal};
use super::web::{exchange, in_time, next_chunk, small_body};
use crate::model::{Extent, Fault};
use crate::net::{Client, Origin, Seat};

/// No object of the log is larger (docs/format.md).
const OBJECT_BYTES_MAX: u64 = 64 << 20;
const FAULT_BODY_BYTES_MAX: u64 = 64 * 1024;

pub struct Incoming {
    plugin: Arc<Plugin>,
    origin: Origin,
    response: Response,
    range: Option<Extent>,
    _seat: Seat,
}

impl Incoming {
    pub async fn open(plugin: Arc<Plugin>, allowed: Allowed, range: Option<Extent>) -> Result<Incoming, Fault> {
        let origin = allowed.origin.clone();
        let client = plugin.client(&origin)?;
        let seat = client.seat().await;
        let response = exchange(&plugin, allowed, range, None).await?;
        seat.answered();
        Ok(Incoming { origin, response, range, _seat: seat, plugin })
    }

    fn declared(&self) -> Option<u64> {
        self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The whole body of what was asked for: a part must be exactly that part, a whole must have the length that it declares.
    pub async fn consume(self, asked: Option<Extent>) -> Result<Bytes, Fault> {
        if self.range != asked {
            return Err(Fault::corrupt("the plugin answered with another range than it was asked for"));
        }
        let length = match asked {
            Some(part) => {
                accept(&self.response, part)?;
                Some(part.length)
            }
            None if self.response.status() == StatusCode::OK => self.declared(),
            None => return Err(Fault::corrupt(format!("the plugin took status {} for an object", self.response.status().as_u16()))),
        };
        if length.is_some_and(|length| length > OBJECT_BYTES_MAX) {
            return Err(too_long(OBJECT_BYTES_MAX));
        }
        let plugin = self.plugin.clone();
        let client = plugin.client(&self.origin)?;
        let body = in_time(client, length.unwrap_or(OBJECT_BYTES_MAX), self.body(client, length)).await?;
        plugin.counters().spliced(body.len() as u64);
        Ok(body)
    }

    async fn body(mut self, client: &Client, length: Option<u64>) -> Result<Bytes, Fault> {
        let bytes_max = length.unwrap_or(OBJECT_BYTES_MAX);
        let mut body = BytesMut::with_capacity(length.unwrap_or(0) as usize);
        while let Some(chunk) = next_chunk(client, &mut self.response).await? {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_long(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        match length {
            Some(length) if length != body.len() as u64 => {
                Err(Fault::corrupt(format!("{} sent {} of {length} bytes", self.origin, body.len())))
            }
            _ => Ok(body.freeze()),
        }
    }
}

fn too_long(bytes_max: u64) -> Fault {
    Fault::corrupt(format!("an object is longer than {bytes_max} bytes"))
}

impl http::HostIncoming for InstanceState {
    async fn status(&mut self, this: Resource<Incoming>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.response.status().as_u16())
    }

    async fn header(&mut self, this: Resource<Incoming>, name: String) -> wasmtime::Result<Option<String>> {
        let value = self.table.get(&this)?.response.headers().get(name);
        Ok(value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    async fn length(&mut self, this: Resource<Incoming>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&this)?.declared())
    }

    async fn fault_body(&mut self, this: Resource<Incoming>) -> Result<Vec<u8>, Refusal> {
        let incoming = self.table.get_mut(&this)?;
        if incoming.response.status().is_success() {
            return Err(Fault::denied("the body of a response that succeeded stays in the host").into());
        }
        let plugin = incoming.plugin.clone();
        let client = plugin.client(&incoming.origin)?;
        Ok(small_body(client, &mut incoming.response, FAULT_BODY_BYTES_MAX).await?)
    }

    async fn drop(&mut self, this: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
