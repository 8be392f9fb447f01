//! Connections, folders and the table: the wishes, filled in by the settings that the operator wrote.

use std::path::PathBuf;

use super::{Grants, StreamGrant};
use crate::config::Opened;
use crate::net::{Endpoint, Origin, Scheme};
use crate::wasm::manifest::{Manifest, Protocol, StreamWish, Template, is_table_part};

impl Grants {
    pub(super) fn decide_reach(&mut self, manifest: &Manifest, config: &toml::Table, opened: &Opened, wrong: &mut Vec<String>) {
        for wish in &manifest.streams {
            match text(&wish.endpoint, config).and_then(|value| value.map(|value| stream(wish, value, opened)).transpose()) {
                Ok(grant) => self.streams.extend(grant.map(|grant| (wish.name.clone(), grant))),
                Err(why) => wrong.push(why),
            }
        }
        for wish in &manifest.folders {
            match text(&wish.path, config).and_then(|value| value.map(|value| path(&wish.path, value)).transpose()) {
                Ok(folder) => self.folders.extend(folder.map(|folder| (wish.name.clone(), folder))),
                Err(why) => wrong.push(why),
            }
        }
        if let Some(wish) = &manifest.netfilter {
            match text(&wish.table, config).and_then(|value| value.map(|value| table(&wish.table, value)).transpose()) {
                Ok(table) => self.table = table,
                Err(why) => wrong.push(why),
            }
        }
    }
}

/// What the operator wrote; none: it is not asked for.
fn text<'a>(template: &Template, config: &'a toml::Table) -> Result<Option<&'a str>, String> {
    match config.get(&template.setting) {
        None => Ok(None),
        Some(toml::Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(format!("the setting {:?} must be text, because \"{template}\" is made of it", template.setting)),
    }
}

fn stream(wish: &StreamWish, value: &str, opened: &Opened) -> Result<StreamGrant, String> {
    let scheme = match wish.protocol {
        Protocol::Unix => return path(&wish.endpoint, value).map(StreamGrant::Socket),
        Protocol::Tcp => Scheme::Tcp,
        Protocol::Tls => Scheme::Tls,
    };
    let origin =
        Origin::of_stream(scheme, &wish.endpoint.filled(value)).map_err(|why| format!("the setting {:?}: {why}", wish.endpoint.setting))?;
    let written = opened.endpoints.iter().find(|endpoint| endpoint.origin == origin);
    Ok(StreamGrant::Endpoint(Box::new(written.cloned().unwrap_or_else(|| Endpoint::usual(origin)))))
}

fn path(template: &Template, value: &str) -> Result<PathBuf, String> {
    match value.starts_with('/') && !value.contains('\0') {
        true => Ok(PathBuf::from(value)),
        false => {
            Err(format!("the setting {:?} must be an absolute path, because the plugin is let in there; it is {value:?}", template.setting))
        }
    }
}

fn table(template: &Template, value: &str) -> Result<String, String> {
    match !value.is_empty() && is_table_part(value) {
        true => Ok(template.filled(value)),
        false => Err(format!(
            "the setting {:?} must be lower-case letters, digits and underscores, because a table is named by it; it is {value:?}",
            template.setting
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, opened};
    use super::*;
    use crate::net::Trust;

    const CUTOVER: &str = r#"
name = "x"
kind = "cutover"
version = "1"
wit = "0.1.0"
component = "x.wasm"
sha256 = ""
[[stream]]
name = "dns"
protocol = "tls"
endpoint = "{config.server}:853"
reason = "updates"
[[stream]]
name = "second"
protocol = "tcp"
endpoint = "{config.second}"
reason = "the other server"
[[stream]]
name = "control"
protocol = "unix"
endpoint = "{config.socket}"
reason = "the local daemon"
[netfilter]
table = "transload_{config.table}"
reason = "addresses that moved"
"#;

    fn decide(settings: &str, opened: &Opened) -> Result<Grants, Vec<String>> {
        Grants::decide(&Manifest::parse(CUTOVER).unwrap(), &config(settings), opened)
    }

    #[test]
    fn wishes_become_grants_by_the_operators_settings_alone() {
        let grants = decide("server = \"DNS.test\"\nsocket = \"/run/ctl\"\ntable = \"nat\"", &opened(&[], &[])).unwrap();
        assert_eq!(grants.streams.keys().collect::<Vec<_>>(), ["control", "dns"]);
        let StreamGrant::Endpoint(dns) = &grants.streams["dns"] else { panic!("it is no endpoint") };
        assert_eq!((dns.origin.to_string().as_str(), &dns.trust), ("tls://dns.test:853", &Trust::System));
        assert!(matches!(&grants.streams["control"], StreamGrant::Socket(path) if path.to_str() == Some("/run/ctl")));
        assert_eq!(grants.table.as_deref(), Some("transload_nat"));
        let none = decide("", &opened(&[], &[])).unwrap();
        assert!(none.streams.is_empty() && none.folders.is_empty() && none.table.is_none());
    }

    #[test]
    fn an_endpoint_says_how_a_connection_is_reached_and_must_be_gone_to() {
        let pin = Trust::Pin(crate::net::Pin::of(b"certificate"));
        let mut written = opened(&[], &[]);
        written.endpoints.push(Endpoint { trust: pin.clone(), ..Endpoint::usual(Origin::parse_endpoint("tls://dns.test:853").unwrap()) });
        let grants = decide("server = \"dns.test\"", &written).unwrap();
        let StreamGrant::Endpoint(dns) = &grants.streams["dns"] else { panic!("it is no endpoint") };
        assert_eq!(dns.trust, pin);
        assert_eq!(
            decide("server = \"other.test\"", &written).unwrap_err(),
            ["an endpoint is given for tls://dns.test:853, but the plugin never goes there"]
        );
    }

    #[test]
    fn settings_that_lead_nowhere_are_said_all_at_once() {
        let settings = "server = \"dns.test/x\"\nsecond = 53\nsocket = \"run/ctl\"\ntable = \"Filter\"";
        assert_eq!(
            decide(settings, &opened(&[], &[])).unwrap_err(),
            [
                "the setting \"server\": \"dns.test/x:853\" must be host:port",
                "the setting \"second\" must be text, because \"{config.second}\" is made of it",
                "the setting \"socket\" must be an absolute path, because the plugin is let in there; it is \"run/ctl\"",
                "the setting \"table\" must be lower-case letters, digits and underscores, because a table is named by it; it is \"Filter\"",
            ]
        );
    }

    #[test]
    fn a_folder_is_granted_by_an_absolute_path() {
        let source = "name = \"x\"\nkind = \"source\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n[[folder]]\nname = \"exports\"\npath = \"{config.exports}\"\nreason = \"disks\"\n";
        let decide = |settings: &str| Grants::decide(&Manifest::parse(source).unwrap(), &config(settings), &opened(&[], &[]));
        assert_eq!(decide("exports = \"/srv/exports\"").unwrap().folders["exports"], PathBuf::from("/srv/exports"));
        assert!(decide("").unwrap().folders.is_empty());
        assert!(decide("exports = \"../exports\"").unwrap_err()[0].contains("must be an absolute path"));
    }
}
