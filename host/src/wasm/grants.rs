//! What one configured plugin may reach: the manifest's wishes, filled in and approved by the operator's configuration.
//!
//! An origin whose host ends with a configured value is approved by it. One that the manifest spells out itself is approved by an
//! `[[endpoint]]` that the operator wrote for it. A secret is approved by its file. Connections, folders and the table are in `reach`.

mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::manifest::{HttpWish, Manifest, SignChainWish};
use crate::config::Opened;
use crate::model::Fault;
use crate::net::{Endpoint, Origin};
use crate::secret::Secret;

pub type SignChain = SignChainWish;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    pub origin: Origin,
    pub methods: BTreeSet<String>,
    pub paths: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct SecretGrant {
    pub value: Secret,
    /// Where it may stand in a request.
    pub origins: Vec<Origin>,
    pub sign_chain: Option<SignChain>,
}

/// Where a connection leads.
#[derive(Debug, Clone)]
pub enum StreamGrant {
    Endpoint(Box<Endpoint>),
    Socket(PathBuf),
}

#[derive(Debug, Default)]
pub struct Grants {
    pub http: Vec<HttpGrant>,
    pub(super) secrets: BTreeMap<String, SecretGrant>,
    pub streams: BTreeMap<String, StreamGrant>,
    pub folders: BTreeMap<String, PathBuf>,
    pub table: Option<String>,
}

impl Grants {
    /// Says everything that does not fit between the manifest and the configuration.
    pub fn decide(manifest: &Manifest, config: &toml::Table, opened: &Opened) -> Result<Grants, Vec<String>> {
        let mut wrong = Vec::new();
        let mut grants = Grants::default();
        let approved: BTreeSet<&Origin> = opened.endpoints.iter().map(|endpoint| &endpoint.origin).collect();
        let meant = |wish: &&HttpWish| wish.when.iter().all(|(key, value)| config.get(key).and_then(toml::Value::as_str) == Some(value));
        for wish in manifest.http.iter().filter(meant) {
            match resolve(&wish.origin, config) {
                Ok(Some(Resolved { origin, configured })) if configured || approved.contains(&origin) => {
                    let methods = wish.methods.iter().map(|method| method.to_ascii_uppercase()).collect();
                    grants.http.push(HttpGrant { origin, methods, paths: wish.paths.clone() });
                }
                Ok(Some(Resolved { origin, .. })) => wrong.push(format!(
                    "the plugin asks for {origin} ({}); approve it with an endpoint for this origin, or use another plugin",
                    wish.reason
                )),
                // Made of a setting that is not there: not asked for in this configuration.
                Ok(None) => {}
                Err(why) => wrong.push(why),
            }
        }
        grants.decide_reach(manifest, config, opened, &mut wrong);
        let dialled = grants.streams.values().filter_map(|grant| match grant {
            StreamGrant::Endpoint(endpoint) => Some(&endpoint.origin),
            StreamGrant::Socket(_) => None,
        });
        let known: BTreeSet<&Origin> = grants.http.iter().map(|grant| &grant.origin).chain(dialled).collect();
        for endpoint in &opened.endpoints {
            if !known.contains(&endpoint.origin) {
                wrong.push(format!("an endpoint is given for {}, but the plugin never goes there", endpoint.origin));
            }
        }
        let mut unused: BTreeSet<&String> = opened.secrets.keys().collect();
        for wish in &manifest.secrets {
            unused.remove(&wish.name);
            let Some(value) = opened.secrets.get(&wish.name) else {
                if !wish.optional {
                    wrong.push(format!("the plugin needs the secret {:?} ({}): add it under secrets", wish.name, wish.reason));
                }
                continue;
            };
            let origins = wish.origins.iter().filter_map(|origin| match resolve(origin, config) {
                Ok(resolved) => resolved.map(|resolved| resolved.origin).filter(|origin| known.contains(origin)),
                Err(why) => {
                    wrong.push(why);
                    None
                }
            });
            let grant = SecretGrant { value: value.clone(), origins: origins.collect(), sign_chain: wish.sign_chain.clone() };
            grants.secrets.insert(wish.name.clone(), grant);
        }
        wrong.extend(unused.into_iter().map(|name| format!("the secret {name:?} is given, but the plugin does not know it")));
        match wrong.is_empty() {
            true => Ok(grants),
            false => Err(wrong),
        }
    }

    pub fn secret(&self, name: &str) -> Result<&SecretGrant, Fault> {
        self.secrets.get(name).ok_or_else(|| Fault::denied(format!("no secret {name:?} is granted to this plugin")))
    }

    /// The secret, if it may stand in a request to this origin.
    pub fn secret_for(&self, name: &str, origin: &Origin) -> Result<&Secret, Fault> {
        let grant = self.secret(name)?;
        match grant.origins.contains(origin) {
            true => Ok(&grant.value),
            false => Err(Fault::denied(format!("the secret {name:?} may not go to {origin}"))),
        }
    }

    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values().map(|grant| &grant.value)
    }

    pub fn origins(&self) -> BTreeSet<Origin> {
        self.http.iter().map(|grant| grant.origin.clone()).collect()
    }

    pub fn signs(&self) -> bool {
        self.secrets.values().any(|grant| grant.sign_chain.is_some())
    }
}

struct Resolved {
    origin: Origin,
    /// Whether the host came from the operator's own values.
    configured: bool,
}

/// Fills `{config.KEY}`, `{config.KEY.scheme}` and `{config.KEY.authority}`. None when the operator did not set a key.
fn resolve(template: &str, config: &toml::Table) -> Result<Option<Resolved>, String> {
    let mut filled = String::new();
    let mut configured = false;
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let broken = || format!("the manifest's origin {template:?} is not written right");
        let (name, after) = behind.split_once('}').ok_or_else(broken)?;
        let name = name.strip_prefix("config.").ok_or_else(broken)?;
        let (key, part) = name.split_once('.').unwrap_or((name, ""));
        let text = match config.get(key) {
            None => return Ok(None),
            Some(toml::Value::String(text)) => text.clone(),
            Some(toml::Value::Integer(number)) => number.to_string(),
            Some(_) => return Err(format!("the setting {key:?} must be text, because the plugin's origin is made of it")),
        };
        match part {
            "" => filled.push_str(&text),
            "scheme" | "authority" => {
                let origin = Origin::parse(&text).map_err(|why| format!("the setting {key:?}: {why}"))?.to_string();
                let (scheme, authority) = origin.split_once("://").unwrap_or_default();
                filled.push_str(if part == "scheme" { scheme } else { authority });
            }
            _ => return Err(broken()),
        }
        configured = true;
        rest = after;
    }
    filled.push_str(rest);
    let configured = configured && names_the_host(template);
    let origin = Origin::parse(&filled).map_err(|why| format!("the plugin's origin {template:?} becomes {filled:?}: {why}"))?;
    Ok(Some(Resolved { origin, configured }))
}

/// Whether the host ends with what the operator wrote: what stands before that is within the operator's own domain, and a vendor's
/// host with a setting in front of it, or in its path, is the vendor's.
fn names_the_host(template: &str) -> bool {
    let host = template.split_once("://").map_or(template, |(_, behind)| behind);
    let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(host, _)| host);
    let last = host.rfind('{').unwrap_or(host.len());
    let whole_or_below = last == 0 || host[..last].ends_with('.');
    host.ends_with('}') && whole_or_below && !host.contains(['/', '?', '#', '@', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(wishes: &str) -> Manifest {
        let head = "name = \"x\"\nkind = \"sink\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n";
        crate::config::strict::parse(&format!("{head}{wishes}")).unwrap()
    }

    pub(super) fn config(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    pub(super) fn opened(secrets: &[&str], origins: &[&str]) -> Opened {
        Opened {
            secrets: secrets.iter().map(|name| (name.to_string(), Secret::new("value"))).collect(),
            endpoints: origins.iter().map(|origin| Endpoint::usual(Origin::parse(origin).unwrap())).collect(),
        }
    }

    #[test]
    fn an_origin_is_the_operators_when_its_host_ends_with_what_the_operator_wrote() {
        for (template, own) in [
            ("{config.endpoint}", true),
            ("https://{config.server}", true),
            ("https://{config.server}:8443", true),
            ("{config.endpoint.scheme}://{config.bucket}.{config.endpoint.authority}", true),
            ("https://api.{config.domain}", true),
            ("https://{config.bucket}.vendor.test", false),
            ("https://vendor.test/{config.endpoint}", false),
            ("https://vendor.test?{config.endpoint}", false),
            ("https://vendor.test{config.port}", false),
            ("https://{config.user}{config.host}", false),
            ("https://{config.server}@vendor.test", false),
            ("https://vendor.test", false),
        ] {
            assert_eq!(names_the_host(template), own, "{template}");
        }
    }

    const S3: &str = r#"
[[http]]
origin = "{config.endpoint}"
methods = ["get", "PUT"]
paths = ["/"]
reason = "objects"
[[http]]
origin = "{config.endpoint.scheme}://{config.bucket}.{config.endpoint.authority}"
when = { addressing = "virtual-host" }
methods = ["GET"]
paths = ["/"]
reason = "objects of a bucket with a name of its own"
[[http]]
origin = "https://{config.region}.sts.test"
methods = ["GET"]
paths = ["/"]
reason = "only with a region"
[[secret]]
name = "secret-key"
sign-chain = { steps-min = 5, prefix = "AWS4" }
reason = "signs"
[[secret]]
name = "token"
optional = true
origins = ["{config.endpoint}"]
reason = "logs in"
"#;

    #[test]
    fn origins_are_made_of_the_operators_values() {
        let settings = config("endpoint = \"https://s3.test:9000/ignored\"\nbucket = \"b\"\naddressing = \"virtual-host\"");
        let grants = Grants::decide(&manifest(S3), &settings, &opened(&["secret-key", "token"], &[])).unwrap();
        let origins: Vec<String> = grants.origins().iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://b.s3.test:9000", "https://s3.test:9000"]);
        let s3 = Origin::parse("https://s3.test:9000").unwrap();
        assert!(grants.secret_for("token", &s3).is_ok());
        assert_eq!(
            grants.secret_for("secret-key", &s3).unwrap_err().message,
            "the secret \"secret-key\" may not go to https://s3.test:9000"
        );
        let bucket = Origin::parse("https://b.s3.test:9000").unwrap();
        assert!(grants.secret_for("token", &bucket).is_err());
        assert!(grants.secret_for("root", &s3).is_err());
    }

    #[test]
    fn what_is_asked_for_under_a_condition_is_granted_under_it_only() {
        let settings = config("endpoint = \"https://127.0.0.1:9000\"\nbucket = \"b\"\naddressing = \"path\"");
        let grants = Grants::decide(&manifest(S3), &settings, &opened(&["secret-key"], &[])).unwrap();
        assert_eq!(grants.origins().iter().map(ToString::to_string).collect::<Vec<_>>(), ["https://127.0.0.1:9000"]);
    }

    #[test]
    fn what_the_operator_did_not_approve_is_said_with_the_plugins_reason() {
        let wishes =
            "[[http]]\norigin = \"https://telemetry.test\"\nmethods = [\"POST\"]\npaths = [\"/\"]\nreason = \"usage statistics\"\n";
        let said = Grants::decide(&manifest(wishes), &config(""), &opened(&[], &[])).unwrap_err();
        assert_eq!(
            said,
            [
                "the plugin asks for https://telemetry.test (usage statistics); approve it with an endpoint for this origin, or use another plugin"
            ]
        );
        assert!(Grants::decide(&manifest(wishes), &config(""), &opened(&[], &["https://telemetry.test"])).is_ok());
    }

    #[test]
    fn what_does_not_fit_together_is_listed_whole() {
        let settings = config("endpoint = \"https://s3.test\"\nbucket = \"b\"");
        let said = Grants::decide(&manifest(S3), &settings, &opened(&["passwort"], &["https://s4.test"])).unwrap_err();
        assert_eq!(
            said,
            [
                "an endpoint is given for https://s4.test, but the plugin never goes there",
                "the plugin needs the secret \"secret-key\" (signs): add it under secrets",
                "the secret \"passwort\" is given, but the plugin does not know it",
            ]
        );
    }
}
