//! `/sdk`: SOAP over HTTPS, sessions by cookie.

use super::session;
use super::{Datacentre, methods};
use crate::server::{Answer, body, text};
use crate::soap::{self, Fault, Request, Response, Value};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;

/// Newest first. A client picks the highest that it was written for.
const VERSIONS: [&str; 8] = ["8.0.2.0", "8.0.1.0", "8.0.0.0", "7.0.3.0", "7.0.0.0", "6.7.3", "6.7", "6.5"];
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) fn versions() -> String {
    let prior: String = VERSIONS[1..].iter().map(|version| format!("<version>{version}</version>")).collect();
    let newest = VERSIONS[0];
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\"><namespace><name>urn:vim25</name><version>{newest}</version>\
         <priorVersions>{prior}</priorVersions></namespace></namespaces>\n"
    )
}

/// What a call leaves behind besides its result.
struct Outcome {
    method: String,
    result: Result<Option<Value>, Fault>,
    cookie: Option<String>,
}

pub(super) async fn answer(centre: &Arc<Datacentre>, request: http::Request<Incoming>) -> Answer {
    let (head, incoming) = request.into_parts();
    let bytes = match Limited::new(incoming, REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large")),
    };
    let knobs = centre.knobs();
    tokio::time::sleep(Duration::from_millis(knobs.soap_latency_milliseconds)).await;
    centre.state().counters.soap_requests += 1;
    if out_of_sessions(centre, &bytes, knobs.sessions_max) {
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "Out of HTTP sessions: Limited to the maximum"));
    }
    let outcome = call(centre, &head.headers, &bytes).await;
    let status = if outcome.result.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    if let Err(fault) = &outcome.result {
        tracing::debug!(method = outcome.method, fault = fault.message, "call refused");
    }
    let xml = Response { method: &outcome.method, result: outcome.result, instance_prefix: &knobs.instance_prefix }.to_xml();
    let mut response = http::Response::new(body(xml));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(cookie) = outcome.cookie {
        // The value arrives in quotes, as the real one does.
        let value = format!("vmware_soap_session=\"{cookie}\"; Path=/; HttpOnly; Secure;");
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_str(&value).expect("a cookie is hexadecimal"));
    }
    Ok(response)
}

fn out_of_sessions(centre: &Datacentre, bytes: &Bytes, sessions_max: usize) -> bool {
    let login = bytes.windows(6).any(|window| window == b"<Login" || window == b":Login");
    login && centre.state().sessions.live() >= sessions_max
}

async fn call(centre: &Arc<Datacentre>, headers: &HeaderMap, bytes: &[u8]) -> Outcome {
    let unnamed = |fault| Outcome { method: "unknown".to_owned(), result: Err(fault), cookie: None };
    if let Err(fault) = check_action(headers) {
        return unnamed(fault);
    }
    let request = match soap::parse(bytes) {
        Ok(request) => request,
        Err(fault) => return unnamed(fault),
    };
    let method = request.method.clone();
    *centre.state().counters.calls.entry(method.clone()).or_default() += 1;
    let cookie = session::cookie(headers);
    if method == "Login" {
        return match log_in(centre, cookie, request) {
            Ok((cookie, session)) => Outcome { method, result: Ok(Some(session)), cookie: Some(cookie) },
            Err(fault) => {
                centre.state().counters.logins_refused += 1;
                Outcome { method, result: Err(fault), cookie: None }
            }
        };
    }
    let result = if methods::anonymous(&request) {
        methods::retrieve_service_content(request)
    } else {
        match cookie.as_deref().and_then(|cookie| centre.session(cookie)) {
            None => Err(Fault::not_authenticated()),
            Some(_) if method == "Logout" => log_out(centre, cookie.as_deref().unwrap_or_default(), request),
            Some(session) => methods::perform(centre, &session, request).await,
        }
    };
    Outcome { method, result, cookie: None }
}

/// The header names the API version that the client speaks; without it a vCenter answers with the oldest.
fn check_action(headers: &HeaderMap) -> Result<(), Fault> {
    let action = headers.get("SOAPAction").and_then(|value| value.to_str().ok());
    let Some(action) = action else { return Err(Fault::request("the header SOAPAction is missing")) };
    let Some(bare) = action.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Err(Fault::request(format!("the header SOAPAction must be in quotes, not {action}")));
    };
    match bare.strip_prefix("urn:vim25/") {
        Some(version) if VERSIONS.contains(&version) => Ok(()),
        _ => Err(Fault::request(format!("Unsupported version URI \"{bare}\" while parsing SOAP header"))),
    }
}

fn log_in(centre: &Datacentre, cookie: Option<String>, request: Request) -> Result<(String, Value), Fault> {
    methods::this(&request, "SessionManager")?;
    let mut arguments = request.arguments;
    let user = arguments.text("userName")?;
    let password = arguments.text("password")?;
    arguments.text_optional("locale")?;
    arguments.finish()?;
    let refused = "Cannot complete login due to an incorrect user name or password.";
    if cookie.is_some_and(|cookie| centre.session(&cookie).is_some()) {
        // A second login on the same cookie is refused even with the right password.
        return Err(Fault::invalid_login(refused));
    }
    if user != centre.options.user || password != centre.options.password {
        return Err(Fault::invalid_login(refused));
    }
    let (cookie, session) = centre.open_session(&user);
    Ok((cookie, super::properties::user_session(&session).into()))
}

fn log_out(centre: &Datacentre, cookie: &str, request: Request) -> Result<Option<Value>, Fault> {
    methods::this(&request, "SessionManager")?;
    request.arguments.finish()?;
    centre.state().sessions.close(cookie);
    Ok(None)
}
