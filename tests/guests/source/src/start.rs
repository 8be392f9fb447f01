//! What runs while the host still makes the instance, before anybody called it.

use crate::transload::plugin::http::{Expectation, Method, Request, lazy, send};
use crate::transload::plugin::sessions;
use crate::transload::plugin::types::{Extent, Fault};
use crate::{endings, folders, get};

pub fn start(misdeed: &str) {
    let reached: Result<(), Fault> = match misdeed {
        "loop-at-start" => endings::endless(),
        "trap-at-start" => panic!("before anything was asked"),
        "ask-at-start" => ask(),
        // The refusal is believed by nobody who tries it all the same.
        "ask-at-start-and-go-on" => return drop(ask()),
        "name-bytes-at-start" => lazy(&get("/disk"), Expectation { range: Extent { offset: 0, length: 512 } }).map(drop),
        "open-file-at-start" => folders::range("disk", 0, 1).map(drop),
        "list-files-at-start" => folders::look("names", "").map(drop),
        "leave-session-at-start" => sessions::compare_and_set("login", None, b"from the start").map(drop),
        _ => return,
    };
    match reached {
        Ok(()) => panic!("it was reached"),
        Err(refused) => panic!("{}", refused.message),
    }
}

fn ask() -> Result<(), Fault> {
    send(&Request { method: Method::Get, ..get("/headers") }, &[]).map(drop)
}
