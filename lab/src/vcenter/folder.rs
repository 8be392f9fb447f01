//! `/folder`: the datastores' files over HTTPS, with ranges, locks and twice-encoded names.

use super::inventory::{Power, State};
use super::knobs::Spoil;
use super::load::{Read, Reading};
use super::{Datacentre, properties, session};
use crate::disk::Layer;
use crate::server::{Answer, Body, BoxError, Hangup, body, text};
use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

const PIECE_BYTES: u64 = 256 * 1024;
/// A shorter GET is a probe, and counts as no reading of a disk.
const READ_BYTES_MIN: u64 = 64 * 1024;

/// What a path leads to.
enum Target {
    /// A small text, made on the spot.
    Descriptor(String),
    /// A base file; `locked` while a running VM keeps it open for writing.
    Content { layer: Arc<Layer>, locked: bool, read: Read },
    /// A redo log. The lab's own format is not VMware's, so it is not shown to anyone.
    RedoLog,
}

pub(super) async fn answer(centre: &Arc<Datacentre>, request: http::Request<Incoming>) -> Answer {
    let knobs = centre.knobs();
    centre.state().counters.folder_requests += 1;
    tokio::time::sleep(Duration::from_millis(knobs.folder_latency_milliseconds)).await;
    let head = match *request.method() {
        Method::HEAD => true,
        Method::GET => false,
        _ => return Ok(text(StatusCode::NOT_IMPLEMENTED, "the lab serves GET and HEAD only")),
    };
    if !authenticated(centre, request.headers()) {
        let mut response = text(StatusCode::UNAUTHORIZED, "");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"VMware HTTP server\""));
        return Ok(response);
    }
    if !centre.granted("Datastore.Browse") || !centre.granted("Datastore.FileManagement") {
        return Ok(text(StatusCode::FORBIDDEN, "Datastore.Browse and Datastore.FileManagement are needed"));
    }
    let target = match find(&centre.state(), request.uri(), knobs.folder_locks_running) {
        Ok(target) => target,
        Err(why) => return Ok(text(StatusCode::NOT_FOUND, why)),
    };
    match target {
        Target::Descriptor(content) => Ok(whole(&content, head)),
        Target::RedoLog => Ok(text(StatusCode::NOT_IMPLEMENTED, "the lab has no real redo log format")),
        Target::Content { locked: true, .. } => Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error: the file is locked")),
        Target::Content { layer, locked: false, read } => {
            content(centre, &layer, request.headers(), head, knobs.folder_ignores_range, read)
        }
    }
}

fn whole(content: &str, head: bool) -> Response<Body> {
    let mut response = text(StatusCode::OK, if head { String::new() } else { content.to_owned() });
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content.len()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// By session cookie, or by Basic, which opens a session of its own each time and leaves it open, as the real one does.
fn authenticated(centre: &Datacentre, headers: &HeaderMap) -> bool {
    if let Some(cookie) = session::cookie(headers) {
        return centre.session(&cookie).is_some();
    }
    let expected = format!("{}:{}", centre.options.user, centre.options.password);
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(expected));
    let matches = headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes());
    if matches {
        centre.open_session(&centre.options.user);
    }
    matches
}

fn find(state: &State, uri: &http::Uri, locks_running: bool) -> Result<Target, String> {
    let path = uri.path().strip_prefix("/folder/").ok_or("no file is named")?;
    let path = percent_decode(path).ok_or("the path is not properly encoded")?;
    let (mut datacenter, mut datastore) = (None, None);
    for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "dcPath" => datacenter = twice_decoded(value),
            "dsName" => datastore = twice_decoded(value),
            _ => {}
        }
    }
    if datacenter.as_deref() != Some(properties::datacenter_path(state).as_str()) {
        return Err("dcPath names no datacenter (it must be encoded twice)".into());
    }
    let datastore =
        datastore.filter(|name| state.datastore(name).is_some()).ok_or("dsName names no datastore (it must be encoded twice)")?;
    for vm in state.vms.values().filter(|vm| vm.datastore == datastore) {
        for disk in &vm.disks {
            for (place, layer) in disk.chain.layers.iter().enumerate() {
                let below = place.checked_sub(1).map(|below| &disk.chain.layers[below]);
                if layer.descriptor == path {
                    return Ok(Target::Descriptor(descriptor(layer, below.map(Arc::as_ref), disk.chain.capacity, &disk.uuid)));
                }
                if layer.content_name() == path && !layer.is_base() {
                    return Ok(Target::RedoLog);
                }
                if layer.content_name() == path {
                    let written = Arc::ptr_eq(layer, disk.chain.top());
                    let locked = vm.power == Power::On && (written || locks_running) || vm.merging;
                    let read = Read { vm: vm.id.clone(), host: vm.host.clone(), disk: disk.key };
                    return Ok(Target::Content { layer: layer.clone(), locked, read });
                }
            }
        }
    }
    Err(format!("there is no file {path}"))
}

/// A name in the query is decoded twice. One that carries special characters and was encoded only once is not found,
/// so after the first decoding nothing but safe characters and escapes may be left.
fn twice_decoded(value: &str) -> Option<String> {
    let once = percent_decode(value)?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/%".contains(&byte);
    if !once.bytes().all(safe) {
        return None;
    }
    percent_decode(&once)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A VMDK descriptor. A fresh redo log carries its parent's content id, so nobody may tell disks apart by it.
fn descriptor(layer: &Layer, below: Option<&Layer>, capacity: u64, uuid: &str) -> String {
    let content = layer.content_name();
    let content = content.rsplit('/').next().unwrap_or_default();
    let (create, extent, parent) = match below {
        None => ("vmfs", "VMFS", String::new()),
        Some(below) => {
            ("vmfsSparse", "VMFSSPARSE", format!("parentFileNameHint=\"{}\"\n", below.descriptor.rsplit('/').next().unwrap_or_default()))
        }
    };
    let parent_id = if below.is_some() { "fffffffe" } else { "ffffffff" };
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID={parent_id}\ncreateType=\"{create}\"\n{parent}\n\
         # Extent description\nRW {} {extent} \"{content}\"\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.thinProvisioned = \"1\"\nddb.uuid = \"{uuid}\"\nddb.virtualHWVersion = \"19\"\n",
        capacity / crate::disk::SECTOR
    )
}

fn content(centre: &Arc<Datacentre>, layer: &Layer, headers: &HeaderMap, head: bool, ignores_range: bool, read: Read) -> Answer {
    let Ok(file) = layer.reopen() else { return Ok(text(StatusCode::NOT_FOUND, "the file is gone")) };
    let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "")) };
    let asked = headers.get(header::RANGE).filter(|_| !ignores_range && !head);
    let (status, range) = match asked.map(|value| parse_range(value, length)) {
        None => (StatusCode::OK, 0..length),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => return Ok(not_satisfiable(length)),
    };
    let spoil = if head { None } else { centre.with_knobs(|knobs| knobs.next_folder_fault()) };
    match spoil {
        Some(Spoil::Close) => return Err(Hangup),
        Some(Spoil::Status(code)) => return Ok(text(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "")),
        _ => {}
    }
    let size = range.end - range.start;
    let reading = (!head && size >= READ_BYTES_MIN).then(|| Reading::begin(centre.clone(), read));
    let mut response = Response::new(if head { body("") } else { stream(centre.clone(), file, range.clone(), spoil, reading) });
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if !ignores_range {
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        fields.insert(header::CONTENT_RANGE, HeaderValue::from_str(&value).expect("digits are a header value"));
    }
    Ok(response)
}

fn not_satisfiable(length: u64) -> Response<Body> {
    let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "");
    let value = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits are a header value");
    response.headers_mut().insert(header::CONTENT_RANGE, value);
    response
}

/// One range; several in one request are not served.
fn parse_range(value: &HeaderValue, length: u64) -> Option<Range<u64>> {
    let (first, last) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.is_empty(), last.is_empty()) {
        (false, false) => first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?.min(length),
        (false, true) => first.parse().ok()?..length,
        (true, false) => length.saturating_sub(last.parse().ok()?)..length,
        (true, true) => return None,
    };
    (range.start < range.end).then_some(range)
}

fn stream(centre: Arc<Datacentre>, file: File, range: Range<u64>, spoil: Option<Spoil>, reading: Option<Reading>) -> Body {
    let file = Arc::new(file);
    let reading = Arc::new(reading);
    let middle = range.start + (range.end - range.start) / 2;
    let pieces = futures::stream::try_unfold(range.start, move |position| {
        let (centre, file, reading) = (centre.clone(), file.clone(), reading.clone());
        let end = (position + PIECE_BYTES).min(range.end);
        async move {
            let _counted_until_the_end = &reading;
            if position >= end {
                return Ok::<_, BoxError>(None);
            }
            if spoil == Some(Spoil::Truncate) && end > middle {
                return Err(crate::server::cut().await);
            }
            let mut bytes = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; (end - position) as usize];
                file.read_exact_at(&mut bytes, position).map(|()| bytes)
            })
            .await??;
            if spoil == Some(Spoil::FlipBit) && (position..end).contains(&middle) {
                bytes[(middle - position) as usize] ^= 1;
            }
            centre.state().counters.folder_bytes += bytes.len() as u64;
            Ok(Some((Frame::data(Bytes::from(bytes)), end)))
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}
