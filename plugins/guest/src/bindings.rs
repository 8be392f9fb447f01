//! Generated from the contract, and the only place where that happens: what the host offers, and what it calls of each kind.
//!
//! Both are in every plugin. What a plugin does not call is no import of its component, and its exports are those of the one kind that it
//! names with `export_sink!`, `export_source!` or `export_cutover!`.

#![allow(clippy::all, missing_docs, reason = "generated code is not written in our style")]

wit_bindgen::generate!({
    path: "wit",
    inline: r#"
        package transload:guest;
        world imports {
            import transload:plugin/types@0.1.0;
            import transload:plugin/machine@0.1.0;
            import transload:plugin/bulk@0.1.0;
            import transload:plugin/http@0.1.0;
            import transload:plugin/secrets@0.1.0;
            import transload:plugin/sessions@0.1.0;
            import transload:plugin/config@0.1.0;
            import transload:plugin/log@0.1.0;
            import transload:plugin/clock@0.1.0;
            import transload:plugin/readers@0.1.0;
            import transload:plugin/files@0.1.0;
            import transload:plugin/streams@0.1.0;
            import transload:plugin/netfilter@0.1.0;
        }
    "#,
    generate_all,
    generate_unused_types: true,
});

pub mod sink {
    wit_bindgen::generate!({
        path: "wit",
        world: "sink-plugin",
        pub_export_macro: true,
        with: {
            "transload:plugin/types@0.1.0": crate::bindings::transload::plugin::types,
            "transload:plugin/bulk@0.1.0": crate::bindings::transload::plugin::bulk,
            "transload:plugin/http@0.1.0": crate::bindings::transload::plugin::http,
            "transload:plugin/secrets@0.1.0": crate::bindings::transload::plugin::secrets,
            "transload:plugin/sessions@0.1.0": crate::bindings::transload::plugin::sessions,
            "transload:plugin/config@0.1.0": crate::bindings::transload::plugin::config,
            "transload:plugin/log@0.1.0": crate::bindings::transload::plugin::log,
            "transload:plugin/clock@0.1.0": crate::bindings::transload::plugin::clock,
        },
    });
}

pub mod source {
    wit_bindgen::generate!({
        path: "wit",
        world: "source-plugin",
        pub_export_macro: true,
        with: {
            "transload:plugin/types@0.1.0": crate::bindings::transload::plugin::types,
            "transload:plugin/machine@0.1.0": crate::bindings::transload::plugin::machine,
            "transload:plugin/bulk@0.1.0": crate::bindings::transload::plugin::bulk,
            "transload:plugin/http@0.1.0": crate::bindings::transload::plugin::http,
            "transload:plugin/secrets@0.1.0": crate::bindings::transload::plugin::secrets,
            "transload:plugin/sessions@0.1.0": crate::bindings::transload::plugin::sessions,
            "transload:plugin/config@0.1.0": crate::bindings::transload::plugin::config,
            "transload:plugin/log@0.1.0": crate::bindings::transload::plugin::log,
            "transload:plugin/clock@0.1.0": crate::bindings::transload::plugin::clock,
            "transload:plugin/readers@0.1.0": crate::bindings::transload::plugin::readers,
            "transload:plugin/files@0.1.0": crate::bindings::transload::plugin::files,
        },
    });
}

pub mod cutover {
    wit_bindgen::generate!({
        path: "wit",
        world: "cutover-plugin",
        pub_export_macro: true,
        with: {
            "transload:plugin/types@0.1.0": crate::bindings::transload::plugin::types,
            "transload:plugin/bulk@0.1.0": crate::bindings::transload::plugin::bulk,
            "transload:plugin/http@0.1.0": crate::bindings::transload::plugin::http,
            "transload:plugin/secrets@0.1.0": crate::bindings::transload::plugin::secrets,
            "transload:plugin/sessions@0.1.0": crate::bindings::transload::plugin::sessions,
            "transload:plugin/config@0.1.0": crate::bindings::transload::plugin::config,
            "transload:plugin/log@0.1.0": crate::bindings::transload::plugin::log,
            "transload:plugin/clock@0.1.0": crate::bindings::transload::plugin::clock,
            "transload:plugin/streams@0.1.0": crate::bindings::transload::plugin::streams,
            "transload:plugin/netfilter@0.1.0": crate::bindings::transload::plugin::netfilter,
        },
    });
}
