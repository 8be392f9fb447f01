//! Generated from wit/. Shared interfaces are those of the guest crate, so that their types are the same.

#![allow(clippy::all, missing_docs, reason = "generated code is not written in our style")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "sink-plugin",
    with: {
        "transload:plugin/types@0.1.0": transload_guest::bindings::transload::plugin::types,
        "transload:plugin/bulk@0.1.0": transload_guest::bindings::transload::plugin::bulk,
        "transload:plugin/http@0.1.0": transload_guest::bindings::transload::plugin::http,
        "transload:plugin/secrets@0.1.0": transload_guest::bindings::transload::plugin::secrets,
        "transload:plugin/sessions@0.1.0": transload_guest::bindings::transload::plugin::sessions,
        "transload:plugin/config@0.1.0": transload_guest::bindings::transload::plugin::config,
        "transload:plugin/log@0.1.0": transload_guest::bindings::transload::plugin::log,
        "transload:plugin/clock@0.1.0": transload_guest::bindings::transload::plugin::clock,
    },
});
