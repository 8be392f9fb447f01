//! The manifest of a plugin: what it is and what it asks for, each wish with its reason.
//!
//! ```toml
//! name = "storage-s3"
//! kind = "sink"                    # source | sink | cutover | launcher
//! version = "0.1.0"
//! wit = "0.1.0"                    # the contract it was built against
//! component = "storage-s3.wasm"
//! sha256 = "…"                     # of the component
//!
//! [[http]]
//! origin = "{config.endpoint}"     # or "{config.endpoint.scheme}://{config.bucket}.{config.endpoint.authority}"
//! when = { addressing = "path" }   # optional: asked for only when the operator set this
//! methods = ["GET", "PUT"]
//! paths = ["/"]                    # prefixes, whole segments
//! reason = "objects of the replication log"
//!
//! [[secret]]
//! name = "secret-key"
//! origins = []                     # where it may stand in a request; none here
//! sign-chain = { steps-min = 5, prefix = "AWS4" }
//! reason = "signs every request"
//!
//! [[stream]]                       # a connection that is not HTTP (cutover and launcher plugins)
//! name = "primary"
//! protocol = "tls"                 # tcp | tls | unix
//! endpoint = "{config.server}:853" # for unix the path: "{config.socket}"
//! reason = "dynamic updates"
//!
//! [[folder]]                       # read only (source plugins)
//! name = "exports"
//! path = "{config.exports}"
//! reason = "exported disks"
//!
//! [netfilter]                      # one nftables table, family inet (cutover plugins)
//! table = "transload_{config.table}"
//! reason = "addresses that moved"
//!
//! [[setting]]                      # what an operator may write under `config`; without any, the plugin judges it alone
//! name = "endpoint"
//! type = "text"                    # text | number | flag | texts | table
//! required = true
//! says = "where the store is"
//!
//! [limits]                         # all optional; the operator sees them
//! memory = "64 MiB"
//! ```

mod reach;
mod settings;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use self::reach::{FolderWish, NetfilterWish, Protocol, StreamWish, Template, is_table_part};
pub use self::settings::Setting;
use super::masking::misleads;
use crate::config::units::{Bytes, Span};
use crate::config::{is_name, strict};

const METHODS: &[&str] = &["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Source,
    Sink,
    Cutover,
    Launcher,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Sink => "sink",
            Kind::Cutover => "cutover",
            Kind::Launcher => "launcher",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    pub name: String,
    pub kind: Kind,
    pub version: String,
    pub wit: String,
    pub component: String,
    pub sha256: String,
    #[serde(default)]
    pub http: Vec<HttpWish>,
    #[serde(default, rename = "secret")]
    pub secrets: Vec<SecretWish>,
    #[serde(default, rename = "stream")]
    pub streams: Vec<StreamWish>,
    #[serde(default, rename = "folder")]
    pub folders: Vec<FolderWish>,
    pub netfilter: Option<NetfilterWish>,
    /// What an operator may write under `config`; none: the plugin judges it alone.
    #[serde(default, rename = "setting")]
    pub settings: Vec<Setting>,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpWish {
    pub origin: String,
    /// The settings under which it is asked for; none: always.
    #[serde(default)]
    pub when: BTreeMap<String, String>,
    pub methods: Vec<String>,
    pub paths: Vec<String>,
    pub reason: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretWish {
    pub name: String,
    #[serde(default)]
    pub origins: Vec<String>,
    pub sign_chain: Option<SignChainWish>,
    /// The plugin works without it (an anonymous store, a login by another secret).
    #[serde(default)]
    pub optional: bool,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignChainWish {
    pub steps_min: usize,
    pub prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Limits {
    /// Linear memory of one instance. Bulk bytes never enter a guest, so this holds metadata only.
    pub(super) memory: Bytes,
    /// How long one call may take, its requests included. What the host sends or reads in bulk for it is granted on top.
    pub(super) call: Span,
    /// Instances for control calls, and as many again for data calls.
    pub(super) instances: usize,
    /// The body of one small response.
    pub(super) response: Bytes,
    /// Bytes that `peek` may read during one call.
    pub(super) peek: Bytes,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: Bytes::mib(64), call: Span::seconds(60), instances: 4, response: Bytes::mib(8), peek: Bytes::mib(1) }
    }
}

impl Limits {
    fn check(&self) -> Result<(), String> {
        let within = self.memory <= Bytes::mib(512)
            && self.memory >= Bytes::mib(1)
            && (1..=600_000).contains(&self.call.0.as_millis())
            && (1..=32).contains(&self.instances)
            && self.response <= Bytes::mib(64)
            && self.peek <= Bytes::mib(64);
        match within {
            true => Ok(()),
            false => Err("[limits] must stay within memory 512 MiB, call 10 min, instances 32, response 64 MiB, peek 64 MiB".to_owned()),
        }
    }
}

/// The limits as plain numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub memory: u64,
    pub call: std::time::Duration,
    pub instances: usize,
    pub response: u64,
    pub peek: u64,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Bounds {
        Bounds {
            memory: limits.memory.0,
            call: limits.call.0,
            instances: limits.instances,
            response: limits.response.0,
            peek: limits.peek.0,
        }
    }
}

impl Manifest {
    /// What is wrong with an operator's settings, one sentence each.
    pub(super) fn misfits(&self, config: &toml::Table) -> Vec<String> {
        settings::misfits(&self.settings, config)
    }

    /// Says everything that is wrong with it, one sentence each.
    pub fn parse(text: &str) -> Result<Manifest, Vec<String>> {
        // First, because what is wrong otherwise is told with words of it.
        check_shown(text).map_err(|why| vec![why])?;
        let manifest: Manifest = strict::parse(text)?;
        manifest.check().map_err(|why| vec![why])?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!("name {:?} is no name of a plugin: use lower-case letters, digits and hyphens, at most 40", self.name));
        }
        if self.component.contains('/') || self.component.starts_with('.') {
            return Err(format!("component {:?} must be a file beside the manifest", self.component));
        }
        for wish in &self.http {
            for path in &wish.paths {
                if !path.starts_with('/') || path.contains(['?', '#', '%', '\\']) || path.split('/').any(|part| part == "." || part == "..")
                {
                    return Err(format!("path {path:?} must be a plain prefix that starts with '/'"));
                }
            }
            if let Some(method) = wish.methods.iter().find(|method| !METHODS.contains(&method.to_ascii_uppercase().as_str())) {
                return Err(format!("method {method:?} is none of {}", METHODS.join(", ")));
            }
            if wish.methods.is_empty() || wish.paths.is_empty() || wish.reason.trim().is_empty() {
                return Err(format!("[[http]] {:?} needs methods, paths and a reason", wish.origin));
            }
        }
        for wish in &self.secrets {
            if wish.reason.trim().is_empty() {
                return Err(format!("[[secret]] {:?} needs a reason", wish.name));
            }
            if wish.sign_chain.as_ref().is_some_and(|chain| chain.steps_min == 0) {
                return Err(format!("[[secret]] {:?}: a chain of no steps would hand the secret to the plugin", wish.name));
            }
        }
        self.check_reach()?;
        settings::check(&self.settings)?;
        self.limits.check()
    }
}

/// Whoever approves a manifest is shown its words: none of them may hide or repaint others.
fn check_shown(text: &str) -> Result<(), String> {
    fn misleading(value: &toml::Value) -> Option<&str> {
        match value {
            toml::Value::String(text) => text.contains(misleads).then_some(text),
            toml::Value::Array(values) => values.iter().find_map(misleading),
            toml::Value::Table(table) => {
                table.iter().find_map(|(name, value)| name.contains(misleads).then_some(name.as_str()).or_else(|| misleading(value)))
            }
            _ => None,
        }
    }
    // What cannot be read is refused where it is read.
    let table = text.parse().map(toml::Value::Table);
    match table.as_ref().ok().and_then(misleading) {
        None => Ok(()),
        Some(words) => Err(format!("{words:?} would not be shown as it is: it holds a control character or one that turns text around")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
name = "echo"
kind = "sink"
version = "0.1.0"
wit = "0.1.0"
component = "echo.wasm"
sha256 = ""
[[http]]
origin = "{config.url}"
methods = ["GET"]
paths = ["/"]
reason = "the objects"
"#;

    #[test]
    fn wishes_without_reason_and_paths_that_climb_are_refused() {
        for (old, new, said) in [
            ("\"the objects\"", "\"\"", "[[http]] \"{config.url}\" needs methods, paths and a reason"),
            ("[\"/\"]", "[\"/a/../b\"]", "path \"/a/../b\" must be a plain prefix that starts with '/'"),
            (
                "\"echo\"",
                "\"/proc/self/cwd/echo\"",
                "name \"/proc/self/cwd/echo\" is no name of a plugin: use lower-case letters, digits and hyphens, at most 40",
            ),
            ("\"echo.wasm\"", "\"../echo.wasm\"", "component \"../echo.wasm\" must be a file beside the manifest"),
            ("[\"GET\"]", "[\"TRACE\"]", "method \"TRACE\" is none of GET, HEAD, PUT, POST, DELETE, PATCH"),
            (
                "\"the objects\"",
                "\"the objects\\u001b[2K\"",
                "\"the objects\\u{1b}[2K\" would not be shown as it is: it holds a control character or one that turns text around",
            ),
            ("name = \"echo\"", "name = \"echo\"\nsockets = true", "unknown key \"sockets\""),
        ] {
            assert_eq!(Manifest::parse(&MANIFEST.replace(old, new)).err().unwrap(), [said]);
        }
    }

    #[test]
    fn a_chain_without_steps_would_be_the_secret_itself() {
        let wish = "[[secret]]\nname = \"key\"\nreason = \"r\"\nsign-chain = { steps-min = 0, prefix = \"\" }\n";
        let said = Manifest::parse(&format!("{MANIFEST}{wish}")).err().unwrap();
        assert_eq!(said, ["[[secret]] \"key\": a chain of no steps would hand the secret to the plugin"]);
    }
}
