//! Requests that go, or try to go, where no grant leads; and volatile logins without measure.

use crate::transload::plugin::http::{Auth, BasicAuth, BodyPart, HeaderAuth, Method, Request, send};
use crate::transload::plugin::sessions;
use crate::transload::plugin::types::{Fault, FaultKind, Header};
use crate::{fault, get, number, text};

/// Does it and says what came back.
pub fn out(verb: &str, rest: &str) -> Result<String, Fault> {
    match verb {
        "get" => ask(Request { url: rest.to_owned(), ..get("") }),
        "delete" => ask(Request { method: Method::Delete, url: rest.to_owned(), ..get("") }),
        "follow" => follow(rest),
        "headers" => {
            let headers = vec![header("x-guest", "hello")];
            ask_for_headers(headers, Auth::Basic(BasicAuth { user: "svc".to_owned(), password: "password".to_owned() }))
        }
        "header" => {
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            ask_for_headers(vec![header(name, value)], Auth::None)
        }
        "long-header" => ask_for_headers(vec![header("x-guest", &"x".repeat(64 * 1024))], Auth::None),
        "user" => ask_for_headers(Vec::new(), Auth::Basic(BasicAuth { user: rest.to_owned(), password: "password".to_owned() })),
        "bearer" => ask_for_headers(Vec::new(), Auth::Bearer(rest.to_owned())),
        "secret-in" => {
            let auth = HeaderAuth { name: rest.to_owned(), prefix: String::new(), secret: "password".to_owned() };
            ask_for_headers(Vec::new(), Auth::Header(auth))
        }
        "body" => {
            let request = Request { method: Method::Post, ..get("/login") };
            send(&request, &[BodyPart::Bytes(vec![b'x'; number(rest)?])]).map(|response| text(response.body))
        }
        "session" => {
            let before = sessions::get("login");
            let version = sessions::compare_and_set("login", before.as_ref().map(|entry| entry.version), rest.as_bytes())?;
            Ok(format!("{} then {version}", text(before.map(|entry| entry.value).unwrap_or_default())))
        }
        "long-session" => sessions::compare_and_set("long", None, &[1; 16 * 1024 + 1]).map(|version| version.to_string()),
        "many-sessions" => {
            let mut kept = 0;
            loop {
                match sessions::compare_and_set(&format!("session {kept}"), None, b"login") {
                    Ok(_) => kept += 1,
                    Err(refused) => return Ok(format!("{kept} {}", refused.message)),
                }
            }
        }
        _ => Err(fault(FaultKind::NotFound, "no such VM")),
    }
}

fn ask(request: Request) -> Result<String, Fault> {
    send(&request, &[]).map(|response| format!("{} {}", response.status, text(response.body)))
}

fn ask_for_headers(headers: Vec<Header>, auth: Auth) -> Result<String, Fault> {
    send(&Request { headers, auth, ..get("/headers") }, &[]).map(|response| text(response.body))
}

/// As a browser would: wherever the answers lead, as long as they lead anywhere.
fn follow(start: &str) -> Result<String, Fault> {
    let mut url = start.to_owned();
    loop {
        let response = send(&Request { url: url.clone(), ..get("") }, &[])?;
        match response.headers.iter().find(|header| header.name == "location") {
            Some(location) => url = location.value.clone(),
            None => return Ok(format!("{} {}", response.status, text(response.body))),
        }
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}
