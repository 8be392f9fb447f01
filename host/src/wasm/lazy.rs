//! A GET that is named now and performed later, for exactly the part that is wanted.
//!
//! The other side must answer 206 with the very range that was asked for; then the bytes go straight into the caller's buffer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::budget::Budget;
use super::plugin::Plugin;
use super::policy::Allowed;
use super::web::{exchange, in_time, next_chunk};
use crate::model::{Extent, Fault, FaultKind};
use crate::net::{Client, Seat};

pub struct LazyRange {
    plugin: Arc<Plugin>,
    request: Allowed,
    range: Extent,
}

impl LazyRange {
    pub fn new(plugin: Arc<Plugin>, request: Allowed, range: Extent) -> LazyRange {
        LazyRange { plugin, request, range }
    }

    pub fn range(&self) -> Extent {
        self.range
    }

    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Fills the buffer from this offset of the resource; the whole of it must lie inside the range.
    pub async fn fetch(&self, offset: u64, buffer: &mut [u8], budget: &mut Budget) -> Result<(), Fault> {
        if buffer.is_empty() {
            return Ok(());
        }
        let part = Extent::new(offset, buffer.len() as u64);
        if offset < self.range.offset || offset.checked_add(part.length).is_none_or(|end| end > self.range.end()) {
            return Err(Fault::invalid(format!("{offset}+{} is outside of the range that the source named", part.length)));
        }
        let client = self.plugin.client(&self.request.origin)?;
        // Waiting for others is no time of this read's.
        let seat = client.seat().await;
        budget.spend(self.fetch_part(client, seat, part, buffer)).await
    }

    async fn fetch_part(&self, client: &Client, seat: Seat, part: Extent, buffer: &mut [u8]) -> Result<(), Fault> {
        let origin = &self.request.origin;
        let mut response = exchange(&self.plugin, self.request.clone(), Some(part), None).await?;
        accept(&response, part).map_err(|fault| fault.while_doing(format!("reading {}+{} from {origin}", part.offset, part.length)))?;
        seat.answered();
        in_time(client, part.length, self.fill(client, &mut response, buffer)).await?;
        self.plugin.counters().spliced(part.length);
        Ok(())
    }

    async fn fill(&self, client: &Client, response: &mut Response, buffer: &mut [u8]) -> Result<(), Fault> {
        let (origin, length) = (&self.request.origin, buffer.len());
        let mut filled = 0;
        while let Some(chunk) = next_chunk(client, response).await? {
            let room = buffer.get_mut(filled..filled + chunk.len());
            room.ok_or_else(|| Fault::corrupt(format!("{origin} sent more than the {length} bytes asked for")))?.copy_from_slice(&chunk);
            filled += chunk.len();
        }
        match filled == length {
            true => Ok(()),
            false => Err(Fault::corrupt(format!("{origin} sent {filled} of {length} bytes"))),
        }
    }
}

/// Refuses every response that is not exactly this part.
pub fn accept(response: &Response, part: Extent) -> Result<(), Fault> {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => accept_head(response.headers(), part),
        StatusCode::OK => Err(Fault::unsupported("the other side ignores ranges and answered 200 with the whole")),
        status => Err(status_fault(status, response.headers())),
    }
}

fn accept_head(headers: &HeaderMap, part: Extent) -> Result<(), Fault> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Fault::corrupt(format!("the bytes came encoded as {encoding:?}, which was not asked for")));
    }
    let expected = format!("bytes {}-{}/", part.offset, part.end() - 1);
    match text(CONTENT_RANGE) {
        Some(range) if range.starts_with(&expected) => {}
        Some(range) => return Err(Fault::corrupt(format!("the answer is for {range:?}"))),
        None => return Err(Fault::corrupt("the answer does not say which range it is")),
    }
    match text(CONTENT_LENGTH) {
        Some(length) if length.parse() != Ok(part.length) => Err(Fault::corrupt(format!("the answer declares {length} bytes"))),
        _ => Ok(()),
    }
}

/// What a status means for a pull, as wit/http.wit says.
pub fn status_fault(status: StatusCode, headers: &HeaderMap) -> Fault {
    let kind = match status.as_u16() {
        401 | 403 => FaultKind::Auth,
        404 => FaultKind::NotFound,
        412 => FaultKind::Conflict,
        416 => FaultKind::Invalid,
        429 | 503 => FaultKind::Throttled,
        507 => FaultKind::Full,
        500..=599 => FaultKind::Unavailable,
        _ => FaultKind::Unsupported,
    };
    let fault = Fault::new(kind, format!("the other side answered {}", status.as_u16()));
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    match wait {
        Some(seconds) if kind == FaultKind::Throttled => fault.retry_after(Duration::from_secs(seconds)),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(entries: &[(&'static str, &str)]) -> HeaderMap {
        entries.iter().map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_very_range_is_accepted() {
        let part = Extent::new(512, 512);
        assert!(accept_head(&head(&[("content-range", "bytes 512-1023/4096"), ("content-length", "512")]), part).is_ok());
        assert!(accept_head(&head(&[("content-range", "bytes 512-1023/*")]), part).is_ok());
        for wrong in [
            vec![],
            vec![("content-range", "bytes 512-1022/4096")],
            vec![("content-range", "bytes 512-10230/40960")],
            vec![("content-range", "bytes 0-511/4096")],
            vec![("content-range", "bytes 512-1023/4096"), ("content-length", "511")],
            vec![("content-range", "bytes 512-1023/4096"), ("content-encoding", "gzip")],
        ] {
            assert_eq!(accept_head(&head(&wrong), part).unwrap_err().kind, FaultKind::Corrupt, "{wrong:?}");
        }
    }

    #[test]
    fn statuses_become_the_faults_of_the_contract() {
        for (status, kind) in [
            (401, FaultKind::Auth),
            (403, FaultKind::Auth),
            (404, FaultKind::NotFound),
            (412, FaultKind::Conflict),
            (416, FaultKind::Invalid),
            (429, FaultKind::Throttled),
            (503, FaultKind::Throttled),
            (500, FaultKind::Unavailable),
            (502, FaultKind::Unavailable),
            (302, FaultKind::Unsupported),
        ] {
            let fault = status_fault(StatusCode::from_u16(status).unwrap(), &head(&[("retry-after", "7")]));
            assert_eq!(fault.kind, kind, "{status}");
            assert_eq!(fault.retry_after_ms, (kind == FaultKind::Throttled).then_some(7000), "{status}");
        }
    }
}
