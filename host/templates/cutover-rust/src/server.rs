//! The server's HTTP API: who it is, and one record set read and replaced. Statuses become faults.

use std::fmt;

use serde::{Deserialize, Serialize};
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{Auth, BodyPart, Method, Request, Response};
use transload_guest::imports::Imports;
use transload_guest::ports::Http;

use crate::plan::Change;

/// What the operator writes under `config` in the agent's configuration.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// "https://dns.example.test:8081", without a path.
    endpoint: String,
    zone: String,
}

pub struct Server {
    settings: Settings,
}

/// The addresses behind a name, sorted, and how long resolvers keep them. Without a TTL there is no such set.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Set {
    pub ttl: Option<u32>,
    pub addresses: Vec<String>,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ttl {
            Some(ttl) => write!(f, "{} for {ttl} s", self.addresses.join(", ")),
            None => f.write_str("not there"),
        }
    }
}

// The server's own documents. What is not named here is not looked at.

#[derive(Deserialize)]
struct About {
    daemon_type: String,
    version: String,
}

#[derive(Deserialize)]
struct Zone {
    rrsets: Vec<RecordSet>,
}

#[derive(Serialize, Deserialize)]
struct RecordSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    records: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    content: String,
    disabled: bool,
}

impl Server {
    pub fn open(settings: &str) -> Result<Server, Fault> {
        let mut settings: Settings = serde_json::from_str(settings).map_err(wrong)?;
        settings
            .endpoint
            .truncate(settings.endpoint.trim_end_matches('/').len());
        settings.zone = settings.zone.trim_end_matches('.').to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match !settings.zone.is_empty() && settings.zone.bytes().all(plain) {
            true => Ok(Server { settings }),
            false => Err(wrong("zone must be the name of a zone")),
        }
    }

    pub fn product(&self) -> Result<String, Fault> {
        let about: About = self.document(&self.send(Method::Get, "", None, "say what it is")?)?;
        Ok(format!(
            "PowerDNS {} {}, zone {}",
            about.daemon_type, about.version, self.settings.zone
        ))
    }

    pub fn read(&self, change: &Change) -> Result<Set, Fault> {
        self.check_zone(change)?;
        let asked = format!("?rrset_name={}&rrset_type={}", change.name, change.kind);
        let zone: Zone = self.document(&self.send(
            Method::Get,
            &(self.zone() + &asked),
            None,
            "read a name",
        )?)?;
        // An older server ignores the question and sends all of the zone.
        let Some(set) = zone
            .rrsets
            .into_iter()
            .find(|set| set.name == change.name && set.kind == change.kind)
        else {
            return Ok(Set {
                ttl: None,
                addresses: Vec::new(),
            });
        };
        if set.records.iter().any(|record| record.disabled) {
            let why = format!(
                "{} has a disabled record, which would not come back: remove or enable it.",
                change.name
            );
            return Err(Fault::unsupported(why));
        }
        let mut addresses: Vec<String> = set
            .records
            .into_iter()
            .map(|record| record.content)
            .collect();
        addresses.sort();
        Ok(Set {
            ttl: Some(set.ttl),
            addresses,
        })
    }

    pub fn write(&self, change: &Change, set: &Set) -> Result<(), Fault> {
        self.check_zone(change)?;
        let records = set.addresses.iter().map(|content| Record {
            content: content.clone(),
            disabled: false,
        });
        let changed = RecordSet {
            name: change.name.clone(),
            kind: change.kind.clone(),
            ttl: set.ttl.unwrap_or(0),
            records: records.collect(),
        };
        let mut changed =
            serde_json::to_value(changed).map_err(|error| Fault::internal(error.to_string()))?;
        changed["changetype"] = if set.ttl.is_some() {
            "REPLACE"
        } else {
            "DELETE"
        }
        .into();
        let body = serde_json::json!({ "rrsets": [changed] }).to_string();
        self.send(Method::Patch, &self.zone(), Some(body), "replace a name")
            .map(drop)
    }

    /// The key that is granted opens more zones than the operator named.
    fn check_zone(&self, change: &Change) -> Result<(), Fault> {
        let name = change.name.trim_end_matches('.');
        match name == self.settings.zone || name.ends_with(&format!(".{}", self.settings.zone)) {
            true => Ok(()),
            false => Err(Fault::invalid(format!(
                "{} is not in zone {}.",
                change.name, self.settings.zone
            ))),
        }
    }

    fn zone(&self) -> String {
        format!("/zones/{}.", self.settings.zone)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        what: &str,
    ) -> Result<Response, Fault> {
        let url = format!("{}/api/v1/servers/localhost{path}", self.settings.endpoint);
        // The agent writes the secret into the request; it never comes in here.
        let key = Auth::Header {
            name: "x-api-key".to_owned(),
            prefix: String::new(),
            secret: "api-key".to_owned(),
        };
        let json = "application/json";
        let request = Request::new(method, url)
            .header("accept", json)
            .header("content-type", json)
            .auth(key);
        let body: Vec<BodyPart> = body
            .map(|text| BodyPart::Bytes(text.into_bytes()))
            .into_iter()
            .collect();
        let response = Imports.send(&request, &body)?;
        match response.status {
            200..=299 => Ok(response),
            status => Err(Fault::new(
                kind(status),
                format!(
                    "The name server did not {what}: status {status}{}.",
                    said(&response)
                ),
            )),
        }
    }

    fn document<T: serde::de::DeserializeOwned>(&self, response: &Response) -> Result<T, Fault> {
        let unreadable =
            |error| Fault::corrupt(format!("The name server's answer cannot be read: {error}."));
        serde_json::from_slice(&response.body).map_err(unreadable)
    }
}

/// Its own words, where it has some.
fn said(response: &Response) -> String {
    let document: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    document["error"]
        .as_str()
        .map(|words| format!(" ({words})"))
        .unwrap_or_default()
}

fn kind(status: u16) -> FaultKind {
    match status {
        401 => FaultKind::Auth,
        403 => FaultKind::Denied,
        404 => FaultKind::NotFound,
        429 | 503 => FaultKind::Throttled,
        408 | 500..=599 => FaultKind::Unavailable,
        300..=499 => FaultKind::Invalid,
        _ => FaultKind::Corrupt,
    }
}

fn wrong(why: impl fmt::Display) -> Fault {
    Fault::invalid(format!(
        "The settings of this name server cannot be used: {why}."
    ))
}
