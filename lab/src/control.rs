//! The lab by remote control: JSON over plain HTTP on loopback, for clients that are no Rust.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /vms` `/snapshots` `/digests` `/counters` `/load` `/knobs` `/objects` | | what the library says |
//! | `POST /knob` | `{"vcenter": {…}, "s3": {…}}`, a part of the knobs | the knobs as they are now |
//! | `POST /vm` | a `VmSpec` | `{"vm"}` |
//! | `POST /write` | `{"vm", "disk", "offset", "base64"}` | `{}` |
//! | `POST /workload` | `{"vm", "disk", "seed", "workload": {"pattern": …}}` | `{"bytes"}` |
//! | `POST /disk` | `{"vm", "add": DiskSpec}`, `{"vm", "remove": key}`, `{"vm", "disk", "grow": bytes}` | `{"disk"}` |
//! | `POST /power` | `{"vm", "on": bool}` | `{}` |
//! | `POST /snapshot` | `{"vm", "name"}` or `{"remove": moref}` or `{"digest": moref}` | `{"snapshot"}`, `{}`, records |
//! | `POST /live-digest` | `{"vm", "disk"}` | `{"digest"}` |
//! | `POST /reset-tracking` | `{"vm", "disk"}` | `{}` |
//! | `POST /expire-sessions` | | `{}` |
//! | `POST /object` | `{"key", "flip": offset}`, `{"key", "truncate": bytes}`, `{"key", "delete": true}`, `{"key", "swap": key}`, `{"key", "copy": key}` | `{}` |
//!
//! A wrong request gets 400 and `{"error"}`.

use crate::server::{Server, Service, text};
use crate::vcenter::{DiskSpec, VmSpec};
use crate::{Lab, Workload};
use anyhow::{Context, Result, bail};
use base64::Engine;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The control socket; it lives as long as this value.
pub struct ControlServer {
    server: Server,
}

impl ControlServer {
    pub async fn start(lab: Arc<Lab>) -> Result<ControlServer> {
        let service: Service = Arc::new(move |request| {
            let lab = lab.clone();
            Box::pin(async move {
                Ok(match handle(&lab, request).await {
                    Ok(value) => text(StatusCode::OK, value.to_string()),
                    Err(error) => text(StatusCode::BAD_REQUEST, json!({ "error": format!("{error:#}") }).to_string()),
                })
            })
        });
        Ok(ControlServer { server: crate::server::serve(None, service).await? })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }
}

async fn handle(lab: &Lab, request: Request<Incoming>) -> Result<Value> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let bytes = request.into_body().collect().await?.to_bytes();
    if method == Method::GET {
        return look(lab, &path).await;
    }
    let body: Value = if bytes.is_empty() { json!({}) } else { serde_json::from_slice(&bytes).context("the body is no JSON")? };
    act(lab, &path, body).await
}

async fn look(lab: &Lab, path: &str) -> Result<Value> {
    let vcenter = lab.vcenter();
    Ok(match path {
        "/vms" => json!(vcenter.vms()),
        "/snapshots" => {
            json!(vcenter.snapshots().into_iter().map(|(vm, snapshot)| json!({ "vm": vm, "snapshot": snapshot })).collect::<Vec<_>>())
        }
        "/digests" => json!(vcenter.digests().await),
        "/counters" => json!({ "vcenter": vcenter.counters(), "s3": lab.s3().counters() }),
        "/load" => json!(vcenter.load()),
        "/knobs" => knobs(lab),
        "/objects" => json!(lab.s3().list_objects("")?),
        _ => bail!("there is nothing to see at {path}"),
    })
}

fn knobs(lab: &Lab) -> Value {
    json!({ "vcenter": lab.vcenter().knobs(), "s3": lab.s3().knobs() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteRequest {
    vm: String,
    disk: i32,
    offset: u64,
    base64: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadRequest {
    vm: String,
    disk: i32,
    seed: u64,
    workload: Workload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskRequest {
    vm: String,
    disk: Option<i32>,
    add: Option<DiskSpec>,
    remove: Option<i32>,
    grow: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PowerRequest {
    vm: String,
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotRequest {
    vm: Option<String>,
    name: Option<String>,
    remove: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskName {
    vm: String,
    disk: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectRequest {
    key: String,
    flip: Option<u64>,
    truncate: Option<u64>,
    delete: Option<bool>,
    swap: Option<String>,
    copy: Option<String>,
}

async fn act(lab: &Lab, path: &str, body: Value) -> Result<Value> {
    let vcenter = lab.vcenter();
    match path {
        "/knob" => turn(lab, body)?,
        "/vm" => return Ok(json!({ "vm": vcenter.add_vm(parse::<VmSpec>(body)?).await? })),
        "/write" => {
            let request: WriteRequest = parse(body)?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(&request.base64)?;
            vcenter.write(&request.vm, request.disk, request.offset, bytes).await?;
        }
        "/workload" => {
            let request: WorkloadRequest = parse(body)?;
            let bytes = vcenter.run_workload(&request.vm, request.disk, &request.workload, request.seed).await?;
            return Ok(json!({ "bytes": bytes }));
        }
        "/disk" => return change_disk(lab, parse(body)?).await,
        "/power" => {
            let request: PowerRequest = parse(body)?;
            if request.on { vcenter.power_on(&request.vm).await? } else { vcenter.power_off(&request.vm).await? }
        }
        "/snapshot" => return snapshot(lab, parse(body)?).await,
        "/live-digest" => {
            let request: DiskName = parse(body)?;
            return Ok(json!({ "digest": vcenter.live_digest(&request.vm, request.disk).await? }));
        }
        "/reset-tracking" => {
            let request: DiskName = parse(body)?;
            vcenter.reset_tracking(&request.vm, request.disk)?;
        }
        "/expire-sessions" => vcenter.expire_sessions(),
        "/object" => tamper(lab, parse(body)?)?,
        _ => bail!("there is nothing to do at {path}"),
    }
    Ok(if path == "/knob" { knobs(lab) } else { json!({}) })
}

fn parse<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).context("the request does not fit")
}

/// Lays the given fields over the knobs; a field that does not exist is refused.
fn turn(lab: &Lab, body: Value) -> Result<()> {
    let Value::Object(parts) = body else { bail!("knobs come as an object") };
    for (part, fields) in parts {
        match part.as_str() {
            "vcenter" => {
                let knobs = overlaid(&lab.vcenter().knobs(), fields)?;
                lab.vcenter().set_knobs(|current| *current = knobs);
            }
            "s3" => {
                let knobs = overlaid(&lab.s3().knobs(), fields)?;
                lab.s3().set_knobs(|current| *current = knobs);
            }
            other => bail!("there are knobs of vcenter and s3, not of {other}"),
        }
    }
    Ok(())
}

fn overlaid<T: Serialize + DeserializeOwned>(current: &T, fields: Value) -> Result<T> {
    let (Value::Object(mut all), Value::Object(fields)) = (serde_json::to_value(current)?, fields) else {
        bail!("knobs come as an object")
    };
    all.extend(fields);
    parse(Value::Object(all))
}

async fn change_disk(lab: &Lab, request: DiskRequest) -> Result<Value> {
    let vcenter = lab.vcenter();
    match request {
        DiskRequest { vm, add: Some(spec), .. } => Ok(json!({ "disk": vcenter.add_disk(&vm, spec).await? })),
        DiskRequest { vm, remove: Some(key), .. } => vcenter.remove_disk(&vm, key).await.map(|()| json!({ "disk": key })),
        DiskRequest { vm, disk: Some(key), grow: Some(bytes), .. } => {
            vcenter.grow_disk(&vm, key, bytes).await.map(|()| json!({ "disk": key }))
        }
        _ => bail!("a disk is added, removed, or grown"),
    }
}

async fn snapshot(lab: &Lab, request: SnapshotRequest) -> Result<Value> {
    let vcenter = lab.vcenter();
    match request {
        SnapshotRequest { remove: Some(snapshot), .. } => vcenter.remove_snapshot(&snapshot).await.map(|()| json!({})),
        SnapshotRequest { digest: Some(snapshot), .. } => Ok(json!(vcenter.digest_snapshot(&snapshot).await?)),
        SnapshotRequest { vm: Some(vm), name: Some(name), .. } => Ok(json!({ "snapshot": vcenter.create_snapshot(&vm, &name).await? })),
        _ => bail!("a snapshot is taken (vm, name), removed, or digested"),
    }
}

fn tamper(lab: &Lab, request: ObjectRequest) -> Result<()> {
    let (s3, key) = (lab.s3(), request.key.as_str());
    match request {
        ObjectRequest { flip: Some(offset), .. } => s3.flip_bit(key, offset),
        ObjectRequest { truncate: Some(length), .. } => s3.truncate_object(key, length),
        ObjectRequest { delete: Some(true), .. } => s3.delete_object(key),
        ObjectRequest { swap: Some(ref other), .. } => s3.swap_objects(key, other),
        ObjectRequest { copy: Some(ref other), .. } => s3.copy_object(key, other),
        _ => bail!("an object is flipped, truncated, deleted, swapped, or copied"),
    }
}
