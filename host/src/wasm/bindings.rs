//! What wasmtime generates from wit/. Only `convert` and the imports look in here; everybody else speaks the model's words.
//!
//! The worlds share the types of their imports: the source's world generates them, the others point at them. The launcher's world parses,
//! and admission refuses it by name until it is hosted.

pub mod source {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "source-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        trappable_error_type: { "transload:plugin/types.fault" => crate::wasm::state::Refusal },
        with: {
            "transload:plugin/bulk.byte-source": crate::wasm::splice::Splice,
            "transload:plugin/bulk.sealed-body": crate::wasm::bulk::SealedBody,
            "transload:plugin/http.incoming": crate::wasm::incoming::Incoming,
            "transload:plugin/files.granted-file": crate::wasm::files::FileHandle,
        },
    });
}

pub mod sink {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "sink-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "transload:plugin/types": super::source::transload::plugin::types,
            "transload:plugin/bulk": super::source::transload::plugin::bulk,
            "transload:plugin/http": super::source::transload::plugin::http,
            "transload:plugin/secrets": super::source::transload::plugin::secrets,
            "transload:plugin/sessions": super::source::transload::plugin::sessions,
            "transload:plugin/config": super::source::transload::plugin::config,
            "transload:plugin/log": super::source::transload::plugin::log,
            "transload:plugin/clock": super::source::transload::plugin::clock,
        },
    });
}

pub mod cutover {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "cutover-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        trappable_error_type: { "transload:plugin/types.fault" => crate::wasm::state::Refusal },
        with: {
            "transload:plugin/types": super::source::transload::plugin::types,
            "transload:plugin/bulk": super::source::transload::plugin::bulk,
            "transload:plugin/http": super::source::transload::plugin::http,
            "transload:plugin/secrets": super::source::transload::plugin::secrets,
            "transload:plugin/sessions": super::source::transload::plugin::sessions,
            "transload:plugin/config": super::source::transload::plugin::config,
            "transload:plugin/log": super::source::transload::plugin::log,
            "transload:plugin/clock": super::source::transload::plugin::clock,
            "transload:plugin/streams.connection": crate::wasm::streams::Connection,
        },
    });
}

pub use cutover::transload::plugin::{netfilter, streams};
pub use source::transload::plugin::{bulk, clock, config, files, http, log, secrets, sessions, types};
