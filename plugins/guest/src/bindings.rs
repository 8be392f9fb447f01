//! Generated from wit/: the imports that the first plugins use. A plugin's own bindings point here with `with`, so that a fault or a
//! request is one type in all of them. What a plugin does not call does not become an import of its component.

#![allow(clippy::all, missing_docs, reason = "generated code is not written in our style")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: r#"
        package transload:guest;
        world imports {
            import transload:plugin/types@0.1.0;
            import transload:plugin/bulk@0.1.0;
            import transload:plugin/http@0.1.0;
            import transload:plugin/secrets@0.1.0;
            import transload:plugin/sessions@0.1.0;
            import transload:plugin/config@0.1.0;
            import transload:plugin/log@0.1.0;
            import transload:plugin/clock@0.1.0;
            import transload:plugin/files@0.1.0;
            import transload:plugin/streams@0.1.0;
            import transload:plugin/netfilter@0.1.0;
        }
    "#,
    generate_all,
    generate_unused_types: true,
});
