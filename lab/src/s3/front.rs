//! The front: one request on a key at a time if it writes, planned faults, counting.
//!
//! s3s-fs checks `If-None-Match: *` and renames in two steps, so sixteen writers would see several winners. Here a
//! writer of a key waits for the others, its whole body included, and a reader never sees half of a change.

use super::knobs::{Counters, Knobs};
use crate::server::{Answer, Body, Hangup, Service, body};
use futures::StreamExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use s3s::service::S3Service;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::RwLock;

pub(super) struct Front {
    store: S3Service,
    /// Where its files are.
    root: PathBuf,
    /// The only bucket there is. s3s-fs would make any other one as soon as somebody writes into it.
    bucket: String,
    knobs: Mutex<Knobs>,
    counters: Mutex<Counters>,
    /// One lock per path that is in use right now.
    locks: Mutex<BTreeMap<String, Arc<RwLock<()>>>>,
}

/// What is planned for a request.
enum Plan {
    Serve,
    Fail(StatusCode),
    Full,
    Drop,
    LoseReply,
    Truncate,
    Flip,
    Rot,
}

impl Front {
    pub fn new(store: S3Service, root: PathBuf, bucket: String) -> Front {
        Front { store, root, bucket, knobs: Mutex::default(), counters: Mutex::default(), locks: Mutex::default() }
    }

    pub fn knobs(&self) -> Knobs {
        self.knobs.lock().expect("no panic under this lock").clone()
    }

    pub fn with_knobs<T>(&self, act: impl FnOnce(&mut Knobs) -> T) -> T {
        act(&mut self.knobs.lock().expect("no panic under this lock"))
    }

    pub fn counters(&self) -> Counters {
        self.counters.lock().expect("no panic under this lock").clone()
    }

    fn count(&self, act: impl FnOnce(&mut Counters)) {
        act(&mut self.counters.lock().expect("no panic under this lock"));
    }

    fn lock_of(&self, path: &str) -> Arc<RwLock<()>> {
        let mut locks = self.locks.lock().expect("no panic under this lock");
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(path.to_owned()).or_default().clone()
    }

    fn plan(&self, method: &Method, path: &str) -> (Plan, Duration) {
        self.with_knobs(|knobs| {
            let latency = Duration::from_millis(knobs.latency_milliseconds);
            let meant = knobs.only_paths_with.as_ref().is_none_or(|part| path.contains(part.as_str()));
            let take = |count: &mut u64, wanted: bool| {
                let hit = meant && wanted && *count > 0;
                *count -= u64::from(hit);
                hit
            };
            let plan = if take(&mut knobs.fail_next, true) {
                let code = if knobs.fail_status == 0 { 503 } else { knobs.fail_status };
                Plan::Fail(StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
            } else if take(&mut knobs.drop_next, true) {
                Plan::Drop
            } else if knobs.full && method == Method::PUT {
                Plan::Full
            } else if take(&mut knobs.lose_put_replies, method == Method::PUT) {
                Plan::LoseReply
            } else if take(&mut knobs.truncate_gets, method == Method::GET) {
                Plan::Truncate
            } else if take(&mut knobs.flip_puts, method == Method::PUT) {
                Plan::Flip
            } else if take(&mut knobs.rot_puts, method == Method::PUT) {
                Plan::Rot
            } else {
                Plan::Serve
            };
            (plan, latency)
        })
    }

    /// Before anybody can read it.
    fn rot(&self, path: &str) {
        let key = path.trim_start_matches('/').trim_start_matches(&self.bucket).trim_start_matches('/');
        if let Err(error) = super::objects::rot(&self.root, &self.bucket, key) {
            tracing::warn!(?error, "an object that was to rot is not there");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        if names_another_bucket(&request, &self.bucket) {
            self.count(|counters| counters.refused += 1);
            return refuse(request, StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist.").await;
        }
        let (plan, latency) = self.plan(&method, &path);
        tokio::time::sleep(latency).await;
        self.count(|counters| counters.requests += 1);
        match plan {
            Plan::Fail(status) => {
                self.count(|counters| counters.refused += 1);
                let code = if status == StatusCode::SERVICE_UNAVAILABLE { "SlowDown" } else { "InternalError" };
                return refuse(request, status, code, "Please reduce your request rate.").await;
            }
            Plan::Full => {
                self.count(|counters| counters.refused += 1);
                let message = "Storage backend has reached its minimum free drive threshold.";
                return refuse(request, StatusCode::INSUFFICIENT_STORAGE, "XMinioStorageFull", message).await;
            }
            Plan::Drop => return Err(Hangup),
            Plan::Serve | Plan::LoseReply | Plan::Truncate | Plan::Flip | Plan::Rot => {}
        }
        let incoming = length(request.headers());
        let with_hash = method == Method::PUT && has_hash(request.headers());
        let by_virtual_host = names_bucket_by_host(&request);
        let lock = self.lock_of(&path);
        let response = if matches!(method, Method::GET | Method::HEAD) {
            let _shared = lock.read().await;
            self.store.call(request.map(s3s::Body::from)).await
        } else {
            let _exclusive = lock.write().await;
            match plan {
                Plan::Flip => self.store.call(request.map(flipped)).await,
                Plan::Rot => {
                    let response = self.store.call(request.map(s3s::Body::from)).await;
                    self.rot(&path);
                    response
                }
                _ => self.store.call(request.map(s3s::Body::from)).await,
            }
        };
        let response = response.map_err(|error| {
            tracing::warn!(?error, "the object store failed");
            Hangup
        })?;
        self.count(|counters| {
            counters.puts += u64::from(method == Method::PUT);
            counters.gets += u64::from(method == Method::GET);
            counters.deletes += u64::from(method == Method::DELETE);
            counters.puts_with_hash += u64::from(with_hash);
            counters.by_virtual_host += u64::from(by_virtual_host);
            counters.bytes_in += if matches!(method, Method::PUT | Method::POST) { incoming } else { 0 };
            counters.bytes_out += if method == Method::GET { length(response.headers()) } else { 0 };
            counters.refused += u64::from(response.status().as_u16() >= 400);
        });
        match plan {
            Plan::LoseReply => Err(Hangup),
            Plan::Truncate => Ok(truncated(response.map(|body| body.boxed_unsync()))),
            _ => Ok(response.map(|body| body.boxed_unsync())),
        }
    }
}

/// In path style the first part of the path is the bucket; in the other style the host says it.
fn names_another_bucket(request: &Request<Incoming>, bucket: &str) -> bool {
    let by_path = !names_bucket_by_host(request);
    let first = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
    by_path && !first.is_empty() && first != bucket
}

fn names_bucket_by_host(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host.split(':').next().unwrap_or_default().ends_with(".localhost")
}

/// Not "UNSIGNED-PAYLOAD".
fn has_hash(headers: &http::HeaderMap) -> bool {
    headers.get("x-amz-content-sha256").is_some_and(|hash| hash.len() == 64)
}

/// The body with the lowest bit of its first byte changed.
fn flipped(incoming: Incoming) -> s3s::Body {
    let mut first = true;
    s3s::Body::http_body_unsync(incoming.map_frame(move |frame| {
        frame.map_data(|data| {
            let mut data = data.to_vec();
            if let (true, Some(byte)) = (std::mem::take(&mut first), data.first_mut()) {
                *byte ^= 1;
            }
            data.into()
        })
    }))
}

fn length(headers: &http::HeaderMap) -> u64 {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Refuses in S3's form; the body is read first, because a client that is still sending would only see a broken pipe.
async fn refuse(request: Request<Incoming>, status: StatusCode, code: &str, message: &str) -> Answer {
    let mut incoming = BodyStream::new(request.into_body());
    while incoming.next().await.is_some_and(|frame| frame.is_ok()) {}
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>LAB</RequestId></Error>"
    );
    let mut response = Response::new(body(xml));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

/// Headers as they were, then the first piece at most, then the end of the connection.
fn truncated(response: Response<Body>) -> Response<Body> {
    response.map(|body| {
        let first = BodyStream::new(body).take(1);
        let cut = futures::stream::once(async { Err::<Frame<_>, _>(crate::server::cut().await) });
        BodyExt::boxed_unsync(StreamBody::new(first.chain(cut)))
    })
}

pub(super) fn service(front: Arc<Front>) -> Service {
    Arc::new(move |request| {
        let front = front.clone();
        Box::pin(async move { front.answer(request).await })
    })
}
