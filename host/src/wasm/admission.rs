//! Whether a component may be linked at all. Decided from what it imports and exports, before any of its code runs.
//!
//! One line per import that is not covered, in words that its vendor can act on.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::grants::Grants;
use super::manifest::{Kind, Manifest};

/// The contract that this host offers. Within 0.1 every later patch only adds.
const CONTRACT: &str = "0.1";

/// What of the world outside a plugin was granted, as far as its imports go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reach {
    pub http: bool,
    pub signs: bool,
    pub files: bool,
    pub streams: bool,
    pub netfilter: bool,
}

impl From<&Grants> for Reach {
    fn from(grants: &Grants) -> Reach {
        Reach {
            http: !grants.http.is_empty(),
            signs: grants.signs(),
            files: !grants.folders.is_empty(),
            streams: !grants.streams.is_empty(),
            netfilter: grants.table.is_some(),
        }
    }
}

/// If everything were granted that it asks for.
impl From<&Manifest> for Reach {
    fn from(manifest: &Manifest) -> Reach {
        Reach {
            http: !manifest.http.is_empty(),
            signs: manifest.secrets.iter().any(|wish| wish.sign_chain.is_some()),
            files: !manifest.folders.is_empty(),
            streams: !manifest.streams.is_empty(),
            netfilter: manifest.netfilter.is_some(),
        }
    }
}

pub fn admit(engine: &Engine, component: &Component, manifest: &Manifest, reach: Reach) -> Result<(), Vec<String>> {
    let mut reasons = Vec::new();
    if manifest.kind == Kind::Launcher {
        reasons.push("it is a launcher plugin, and this version of Transload runs none".to_owned());
    }
    if !fits_contract(&manifest.wit) {
        reasons.push(format!("it was built against transload:plugin {}, and this host offers {CONTRACT}", manifest.wit));
    }
    let kind = component.component_type();
    for (name, import) in kind.imports(engine) {
        if !only_types(engine, &import.ty)
            && let Err(why) = cover(name, reach)
        {
            reasons.push(format!("it imports {name}: {why}"));
        }
    }
    let wanted = format!("transload:plugin/{}", manifest.kind.word());
    let exported = kind.exports(engine).map(|(name, _)| interface(name)).filter(|(name, _)| *name == wanted);
    let versions: Vec<&str> = exported.map(|(_, version)| version).collect();
    match versions.as_slice() {
        // What else is wrong explains this as well.
        _ if !reasons.is_empty() => {}
        [] => reasons.push(format!("it does not export {wanted}, which a {} plugin must", manifest.kind.word())),
        some if some.iter().any(|version| fits_contract(version)) => {}
        [other, ..] => reasons.push(format!("it exports {wanted}@{other}: this host calls version {CONTRACT} of it")),
    }
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(reasons),
    }
}

/// An interface without functions grants nothing.
fn only_types(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_) | ComponentItem::Resource(_)))
        }
        ComponentItem::Type(_) | ComponentItem::Resource(_) => true,
        _ => false,
    }
}

/// "pkg:ns/name@1.2.3" as interface and version.
fn interface(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

fn fits_contract(version: &str) -> bool {
    version.strip_prefix(CONTRACT).is_some_and(|rest| rest.starts_with('.'))
}

fn cover(import: &str, reach: Reach) -> Result<(), String> {
    let (interface, version) = interface(import);
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    let not_offered = "is part of the contract, but this host does not offer it yet; build the plugin without it";
    match (package, name) {
        ("transload:plugin", _) if !fits_contract(version) => Err(format!("this host offers version {CONTRACT} of it")),
        ("transload:plugin", "bulk" | "sessions" | "config" | "log" | "clock") => Ok(()),
        ("transload:plugin", "http") if !reach.http => {
            Err("no origin is granted; the manifest must ask for them under [[http]], and the configuration must fill them in".to_owned())
        }
        ("transload:plugin", "http") => Ok(()),
        ("transload:plugin", "secrets") if !reach.signs => {
            Err("no secret is granted for signing; the manifest must ask for one with sign-chain".to_owned())
        }
        ("transload:plugin", "secrets") => Ok(()),
        ("transload:plugin", "files") if !reach.files => {
            Err("no folder is granted; the manifest must ask for one under [[folder]], and the configuration must name it".to_owned())
        }
        ("transload:plugin", "streams") if !reach.streams => {
            Err("no connection is granted; the manifest must ask for one under [[stream]], and the configuration must name it".to_owned())
        }
        ("transload:plugin", "netfilter") if !reach.netfilter => {
            Err("no table is granted; the manifest must ask for one under [netfilter], and the configuration must name it".to_owned())
        }
        ("transload:plugin", "files" | "streams" | "netfilter") => Ok(()),
        ("transload:plugin", "readers") => Err(format!("{name} {not_offered}")),
        ("wasi:io" | "wasi:clocks" | "wasi:random" | "wasi:cli", _) => inert(package, name),
        ("wasi:sockets" | "wasi:http", _) => {
            Err("raw network is never granted; send requests by transload:plugin/http (componentize-py: --stub-wasi; jco: disableFeatures)"
                .to_owned())
        }
        ("wasi:filesystem", _) => {
            Err("ambient files are never granted; keep state in tokens and sessions (componentize-py: --stub-wasi)".to_owned())
        }
        _ => Err("this host knows no such interface".to_owned()),
    }
}

/// The WASI interfaces that lead nowhere: an empty environment, closed streams, a clock and random numbers.
fn inert(package: &str, name: &str) -> Result<(), String> {
    const INERT: &[(&str, &[&str])] = &[
        ("wasi:io", &["error", "poll", "streams"]),
        ("wasi:clocks", &["wall-clock", "monotonic-clock"]),
        ("wasi:random", &["random", "insecure", "insecure-seed"]),
        (
            "wasi:cli",
            &[
                "environment",
                "exit",
                "stdin",
                "stdout",
                "stderr",
                "terminal-input",
                "terminal-output",
                "terminal-stdin",
                "terminal-stdout",
                "terminal-stderr",
            ],
        ),
    ];
    match INERT.iter().any(|(known, names)| *known == package && names.contains(&name)) {
        true => Ok(()),
        false => Err("this host knows no such interface".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::engine::engine;

    const MANIFEST: &str = "name = \"x\"\nkind = \"sink\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n";

    fn refused(manifest: &str, component: &str) -> Vec<String> {
        let engine = engine().unwrap();
        let component = Component::new(&engine, wat::parse_str(component).unwrap()).unwrap();
        let manifest = crate::config::strict::parse(manifest).unwrap();
        admit(&engine, &component, &manifest, Reach::default()).unwrap_err()
    }

    #[test]
    fn each_import_that_is_not_covered_is_refused_in_words_its_vendor_can_act_on() {
        let names = [
            "transload:plugin/http@0.1.0",
            "transload:plugin/secrets@0.1.0",
            "transload:plugin/files@0.1.0",
            "transload:plugin/streams@0.1.0",
            "transload:plugin/netfilter@0.1.0",
            "transload:plugin/readers@0.1.0",
            "transload:plugin/log@0.2.0",
            "wasi:sockets/tcp@0.2.6",
            "wasi:filesystem/preopens@0.2.6",
            "wasi:cli/run@0.2.6",
            "vendor:own/thing",
        ];
        let imports: String = names.iter().map(|name| format!("(import \"{name}\" (instance (export \"f\" (func))))\n")).collect();
        let said =
            refused(MANIFEST, &format!("(component {imports} (import \"transload:plugin/bulk@0.1.0\" (instance (export \"f\" (func)))))"));
        assert_eq!(
            said,
            [
                "it imports transload:plugin/http@0.1.0: no origin is granted; the manifest must ask for them under [[http]], and the \
             configuration must fill them in",
                "it imports transload:plugin/secrets@0.1.0: no secret is granted for signing; the manifest must ask for one with sign-chain",
                "it imports transload:plugin/files@0.1.0: no folder is granted; the manifest must ask for one under [[folder]], and the \
             configuration must name it",
                "it imports transload:plugin/streams@0.1.0: no connection is granted; the manifest must ask for one under [[stream]], and the \
             configuration must name it",
                "it imports transload:plugin/netfilter@0.1.0: no table is granted; the manifest must ask for one under [netfilter], and the \
             configuration must name it",
                "it imports transload:plugin/readers@0.1.0: readers is part of the contract, but this host does not offer it yet; build the \
             plugin without it",
                "it imports transload:plugin/log@0.2.0: this host offers version 0.1 of it",
                "it imports wasi:sockets/tcp@0.2.6: raw network is never granted; send requests by transload:plugin/http (componentize-py: \
             --stub-wasi; jco: disableFeatures)",
                "it imports wasi:filesystem/preopens@0.2.6: ambient files are never granted; keep state in tokens and sessions (componentize-py: \
             --stub-wasi)",
                "it imports wasi:cli/run@0.2.6: this host knows no such interface",
                "it imports vendor:own/thing: this host knows no such interface",
            ]
        );
    }

    #[test]
    fn the_kind_and_the_contract_must_be_hosted_here() {
        assert_eq!(
            refused(&MANIFEST.replace("\"sink\"", "\"launcher\"").replace("0.1.0", "0.2.0"), "(component)"),
            [
                "it is a launcher plugin, and this version of Transload runs none",
                "it was built against transload:plugin 0.2.0, and this host offers 0.1",
            ]
        );
        assert_eq!(refused(MANIFEST, "(component)"), ["it does not export transload:plugin/sink, which a sink plugin must"]);
    }

    #[test]
    fn an_interface_that_holds_only_types_needs_no_grant() {
        let component = "(component (import \"transload:plugin/files@0.1.0\" (instance (type $t u32) (export \"t\" (type (eq $t))))))";
        assert_eq!(refused(MANIFEST, component), ["it does not export transload:plugin/sink, which a sink plugin must"]);
    }
}
