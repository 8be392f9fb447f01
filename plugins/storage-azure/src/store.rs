//! The six verbs of a sink, each one request that shows that it may; a deletion is one for each key.

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{Extent, Method, Request, Response};
use transload_guest::sink::EntriesPage;
use transload_guest::store::{Body as _, Incoming as _, exact, past_end};
use transload_guest::words::short;

use crate::address::Target;
use crate::listing;
use crate::ports::Host;
use crate::refusal::Refusal;
use crate::settings::{Login, Settings};
use crate::sign::{Draft, VERSION, sign, with_shared_access};

/// What one Put Blob may carry.
pub const OBJECT_BYTES_MAX: u64 = 5000 << 20;

/// What the contract asks for in one call.
pub const DELETE_KEYS_MAX: usize = 1000;

/// Deletions in a row that were not answered or sent away, until the rest of a call is not asked for.
const UNANSWERED_MAX: usize = 3;

pub struct Store<'a, H: Host> {
    pub host: &'a H,
    pub settings: &'a Settings,
}

impl<H: Host> Store<'_, H> {
    /// What this is, as the account itself says it.
    pub fn product(&self) -> Result<String, Fault> {
        // A shared access signature may be of one container alone, which tells of its account as well.
        let target = match self.settings.login {
            Login::SharedKey => Target::account(self.settings),
            Login::SharedAccess => Target::container(self.settings),
        };
        let target = target.with("restype", "account").with("comp", "properties");
        let response = self.send(Draft::new(Method::Get, target))?;
        if response.status != 200 {
            return Err(self.refused(&response, "describe the account"));
        }
        if response.header("x-ms-is-hns-enabled").is_some_and(|enabled| enabled.eq_ignore_ascii_case("true")) {
            return Err(listing::directories());
        }
        let server = short(response.header("server").unwrap_or("a server without a name"));
        let version = short(response.header("x-ms-version").unwrap_or(VERSION));
        let (origin, container) = (self.settings.endpoint.origin(), &self.settings.container);
        Ok(format!("Azure Blob Storage at {origin}, container {container} ({server}, version {version})"))
    }

    /// Creates the object, or says `conflict`: the store decides one winner by `If-None-Match: *`.
    pub fn put(&self, key: &str, body: &H::Body) -> Result<(), Fault> {
        let length = body.length();
        if length > OBJECT_BYTES_MAX {
            return Err(Fault::invalid(format!("{key} has {length} bytes; a blob may have 5,000 MiB in one request.")));
        }
        let draft = Draft::new(Method::Put, Target::blob(self.settings, key));
        let draft = draft.header("if-none-match", "*").header("x-ms-blob-type", "BlockBlob");
        let response = self.host.put(&self.signed(Draft { length, ..draft })?, body)?;
        if (200..300).contains(&response.status) {
            return Ok(());
        }
        let refusal = self.refusal(&response);
        match refusal.is_of_an_existing_blob() {
            true => Err(Fault::conflict(format!("{key} exists already in container {}.", self.settings.container))),
            false => Err(refusal.fault(self.settings, &format!("put {key}"))),
        }
    }

    /// The object or a part of it; its bytes stay in the host.
    pub fn get(&self, key: &str, range: Option<Extent>) -> Result<H::Incoming, Fault> {
        let draft = Draft::new(Method::Get, Target::blob(self.settings, key));
        let incoming = self.host.get(&self.signed(Draft { range, ..draft })?, range)?;
        match (incoming.status(), range) {
            (206, Some(range)) => exact(key, range, &incoming).map(|()| incoming),
            (200, None) => Ok(incoming),
            (200, Some(_)) => Err(Fault::unsupported(format!("The store ignored the range of {key} and sent the whole object."))),
            (416, Some(range)) => Err(past_end(key, range)),
            (status, _) => {
                let body = if (200..300).contains(&status) { Vec::new() } else { incoming.fault_body()? };
                Err(Refusal::read(status, |name| incoming.header(name), &body, self.host.now()).fault(self.settings, &format!("get {key}")))
            }
        }
    }

    pub fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        let response = self.send(Draft::new(Method::Head, Target::blob(self.settings, key)))?;
        if response.status == 200 {
            let length = response.header("content-length").and_then(|length| length.trim().parse().ok());
            return length.map(Some).ok_or_else(|| Fault::corrupt(format!("The store did not say how long {key} is.")));
        }
        let refusal = self.refusal(&response);
        match refusal.is_of_a_missing_blob() {
            true => Ok(None),
            false => Err(refusal.fault(self.settings, &format!("look at {key}"))),
        }
    }

    /// A page of keys that start with `prefix`.
    pub fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
        let mut target = Target::container(self.settings)
            .with("restype", "container")
            .with("comp", "list")
            .with("maxresults", "1000")
            .with("prefix", format!("{}{prefix}", self.settings.prefix));
        if let Some(cursor) = cursor {
            target = target.with("marker", cursor);
        }
        let response = self.send(Draft::new(Method::Get, target))?;
        match response.status {
            200 => listing::read(&response.body, &self.settings.prefix),
            _ => Err(self.refused(&response, "list blobs")),
        }
    }

    /// Deletes up to a thousand keys; one verdict for each, in their order. What would befall every key alike is told once and at once:
    /// a thousand further requests would find out nothing more, and whoever repeats the call finds deleted what is deleted.
    pub fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        if keys.len() > DELETE_KEYS_MAX {
            return Err(Fault::invalid(format!("{} keys in one deletion; it takes 1,000.", keys.len())));
        }
        let mut results: Vec<Result<(), Fault>> = Vec::new();
        let mut in_a_row = 0;
        for key in keys {
            let result = match results.last() {
                // Whoever does not answer three times does not answer the next thousand times either.
                Some(Err(last)) if in_a_row == UNANSWERED_MAX => Err(last.clone()),
                _ => self.delete_one(key),
            };
            match &result {
                Err(fault) if befalls_all(fault.kind) => return Err(fault.clone()),
                Err(fault) if matches!(fault.kind, FaultKind::Throttled | FaultKind::Unavailable) => {
                    in_a_row = UNANSWERED_MAX.min(in_a_row + 1)
                }
                _ => in_a_row = 0,
            }
            results.push(result);
        }
        Ok(results)
    }

    fn delete_one(&self, key: &str) -> Result<(), Fault> {
        let response = self.send(Draft::new(Method::Delete, Target::blob(self.settings, key)))?;
        let refusal = self.refusal(&response);
        match (200..300).contains(&response.status) || refusal.is_of_a_missing_blob() {
            true => Ok(()),
            false => Err(refusal.fault(self.settings, &format!("delete {key}"))),
        }
    }

    fn send(&self, draft: Draft) -> Result<Response, Fault> {
        self.host.send(&self.signed(draft)?, &[])
    }

    fn signed(&self, draft: Draft) -> Result<Request, Fault> {
        match self.settings.login {
            Login::SharedKey => sign(self.host, &self.settings.account, draft, self.host.now()),
            Login::SharedAccess => Ok(with_shared_access(draft)),
        }
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        self.refusal(response).fault(self.settings, what)
    }

    fn refusal(&self, response: &Response) -> Refusal {
        let header = |name: &str| response.header(name).map(str::to_owned);
        Refusal::read(response.status, header, &response.body, self.host.now())
    }
}

/// Whether a fault is the account's or the container's, and no single blob's.
fn befalls_all(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Auth | FaultKind::NotFound)
}

#[cfg(test)]
mod tests;
