//! `/nfc`: the disks of an export lease, each as one stream that is made while it is sent.

use super::{Datacentre, lease};
use crate::server::{Answer, Body, BoxError, text};
use crate::vmdk;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that are made ahead of a slow client.
const PIECES_AHEAD: usize = 4;

pub(super) async fn answer(centre: &Arc<Datacentre>, request: http::Request<Incoming>) -> Answer {
    if request.method() != Method::GET {
        return Ok(text(StatusCode::NOT_IMPLEMENTED, "the lab serves GET only"));
    }
    if request.uri().query().is_some() {
        return Ok(text(StatusCode::BAD_REQUEST, "the address of a leased disk has no parameters"));
    }
    // A part of it would have to be cut out of a stream that is not there yet.
    if request.headers().contains_key(header::RANGE) {
        return Ok(text(StatusCode::NOT_IMPLEMENTED, "a leased disk is a stream; it has no ranges"));
    }
    let named = request.uri().path().strip_prefix("/nfc/").and_then(|path| path.split_once('/'));
    let Some(address) = named.map(|(ticket, name)| Address { ticket: ticket.to_owned(), name: name.to_owned() }) else {
        return Ok(text(StatusCode::NOT_FOUND, "no disk is named"));
    };
    let vm = lease::leased(&centre.state(), &address.ticket, &address.name).map(|(vm, _)| vm);
    let gate = vm.and_then(|vm| centre.gate(&vm).ok());
    let Some(gate) = gate else { return Ok(no_lease()) };
    // Nothing is merged into these files while they are read.
    let chain_stays = gate.read_owned().await;
    let Some((_, chain)) = lease::leased(&centre.state(), &address.ticket, &address.name) else { return Ok(no_lease()) };

    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let name = address.name.clone();
    let pipe = Pipe { centre: centre.clone(), address, sender: sender.clone() };
    tokio::task::spawn_blocking(move || {
        let _chain_stays = chain_stays;
        let mut pieces = BufWriter::with_capacity(PIECE_BYTES, pipe);
        if let Err(error) = vmdk::write(&chain, &name, &mut pieces).and_then(|()| pieces.flush()) {
            // What is left in the buffer would look like more of the stream.
            let (_, _) = pieces.into_parts();
            let _ = sender.blocking_send(Err(error.into()));
        }
    });
    let mut response = Response::new(body(receiver));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-vnd.vmware-streamVmdk"));
    Ok(response)
}

fn no_lease() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "there is no such lease, or it is not ready any more")
}

fn body(receiver: mpsc::Receiver<Result<Bytes, BoxError>>) -> Body {
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece: Result<Bytes, BoxError> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

struct Address {
    ticket: String,
    name: String,
}

/// From the thread that makes the stream to the connection. It breaks when the client is gone, and when the lease is.
struct Pipe {
    centre: Arc<Datacentre>,
    address: Address,
    sender: mpsc::Sender<Result<Bytes, BoxError>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if lease::leased(&self.centre.state(), &self.address.ticket, &self.address.name).is_none() {
            return Err(io::Error::other("the lease ended in the middle of the stream"));
        }
        let piece = Bytes::copy_from_slice(bytes);
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
