//! Wishes beyond requests: connections, folders, and the plugin's own nftables table.
//!
//! Each leads to what one setting of the operator names: the setting is the operator's yes to this very host, folder or table. A manifest
//! cannot spell one out itself, and a setting that is not there is a wish that is not asked for.

use std::fmt;

use serde::Deserialize;

use super::{Kind, Manifest};
use crate::config::is_name;

/// What every table's name begins with, so that no other program's is meant.
const TABLE_PREFIX: &str = "transload_";
const WISHES_MAX: usize = 8;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StreamWish {
    pub name: String,
    pub protocol: Protocol,
    pub endpoint: Template,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Tls,
    Unix,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FolderWish {
    pub name: String,
    pub path: Template,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetfilterWish {
    pub table: Template,
    pub reason: String,
}

/// Text around one setting: `transload_{config.table}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    pub before: String,
    pub setting: String,
    pub after: String,
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Template, String> {
        let parts = text.split_once("{config.").and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
        let plain =
            |setting: &str| !setting.is_empty() && setting.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        match parts {
            Some((before, (setting, after))) if plain(setting) && !before.contains(['{', '}']) && !after.contains(['{', '}']) => {
                Ok(Template { before: before.to_owned(), setting: setting.to_owned(), after: after.to_owned() })
            }
            _ => Err(format!(
                "{text:?} must be made of one setting, such as \"{{config.server}}\": what it leads to is the operator's to name"
            )),
        }
    }
}

impl Template {
    fn is_bare(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// `{config.server}` or `{config.server}:853`.
    fn is_authority(&self) -> bool {
        let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        self.before.is_empty() && (self.after.is_empty() || self.after.strip_prefix(':').is_some_and(port))
    }

    fn is_table(&self) -> bool {
        self.before.starts_with(TABLE_PREFIX) && is_table_part(&self.before) && is_table_part(&self.after)
    }

    /// The port that stands behind the setting.
    pub fn port(&self) -> Option<&str> {
        self.after.strip_prefix(':')
    }

    pub fn filled(&self, value: &str) -> String {
        format!("{}{value}{}", self.before, self.after)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{config.{}}}{}", self.before, self.setting, self.after)
    }
}

/// What a table's name may be made of.
pub fn is_table_part(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Manifest {
    pub(super) fn check_reach(&self) -> Result<(), String> {
        // As the worlds in wit/ have it. A sink above all: it moves sealed bytes, and nothing of a disk is within its reach.
        let kind = self.kind;
        let only = |what: &str, kinds: &str| Err(format!("a {} plugin cannot ask for {what}: that is for {kinds}", kind.word()));
        if !self.streams.is_empty() && !matches!(kind, Kind::Cutover | Kind::Launcher) {
            return only("[[stream]]", "cutover and launcher plugins");
        }
        if !self.folders.is_empty() && kind != Kind::Source {
            return only("[[folder]]", "source plugins");
        }
        if self.netfilter.is_some() && kind != Kind::Cutover {
            return only("[netfilter]", "cutover plugins");
        }
        // Each has threads or connections of its own.
        if self.streams.len() > WISHES_MAX || self.folders.len() > WISHES_MAX {
            return Err(format!("at most {WISHES_MAX} [[stream]] and as many [[folder]] may be asked for"));
        }
        for (index, wish) in self.streams.iter().enumerate() {
            check_named("[[stream]]", &wish.name, &wish.reason, self.streams[..index].iter().any(|other| other.name == wish.name))?;
            match wish.protocol {
                Protocol::Unix if !wish.endpoint.is_bare() => {
                    return Err(format!("[[stream]] {:?}: the socket must be one setting, such as \"{{config.socket}}\"", wish.name));
                }
                Protocol::Tcp | Protocol::Tls if !wish.endpoint.is_authority() => {
                    return Err(format!(
                        "[[stream]] {:?}: the endpoint must be \"{{config.server}}\" or \"{{config.server}}:PORT\", so that the operator names \
                         the host",
                        wish.name
                    ));
                }
                _ => {}
            }
        }
        for (index, wish) in self.folders.iter().enumerate() {
            check_named("[[folder]]", &wish.name, &wish.reason, self.folders[..index].iter().any(|other| other.name == wish.name))?;
            if !wish.path.is_bare() {
                return Err(format!("[[folder]] {:?}: the path must be one setting, such as \"{{config.exports}}\"", wish.name));
            }
        }
        match &self.netfilter {
            Some(wish) if wish.reason.trim().is_empty() => Err("[netfilter] needs a reason".to_owned()),
            Some(wish) if !wish.table.is_table() => Err(format!(
                "[netfilter]: the table must be \"{TABLE_PREFIX}{{config.table}}\", with lower-case letters, digits and underscores around the \
                 setting"
            )),
            _ => Ok(()),
        }
    }
}

fn check_named(what: &str, name: &str, reason: &str, twice: bool) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!("{what} {name:?} is no name: use lower-case letters, digits and hyphens, at most 40"));
    }
    if reason.trim().is_empty() {
        return Err(format!("{what} {name:?} needs a reason"));
    }
    match twice {
        true => Err(format!("{what} {name:?} is asked for twice")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"x\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n";
    const STREAM: &str = "[[stream]]\nname = \"dns\"\nprotocol = \"tls\"\nendpoint = \"{config.server}:853\"\nreason = \"updates\"\n";
    const SOCKET: &str = "[[stream]]\nname = \"ctl\"\nprotocol = \"unix\"\nendpoint = \"{config.socket}\"\nreason = \"control\"\n";
    const FOLDER: &str = "[[folder]]\nname = \"exports\"\npath = \"{config.exports}\"\nreason = \"disks\"\n";
    const TABLE: &str = "[netfilter]\ntable = \"transload_{config.table}\"\nreason = \"moves\"\n";

    fn parse(kind: &str, wishes: &[&str]) -> Result<Manifest, Vec<String>> {
        Manifest::parse(&format!("kind = \"{kind}\"\n{HEAD}{}", wishes.concat()))
    }

    #[test]
    fn each_kind_asks_for_what_its_world_imports() {
        assert!(parse("cutover", &[STREAM, SOCKET, TABLE]).is_ok());
        assert!(parse("launcher", &[STREAM]).is_ok());
        assert!(parse("source", &[FOLDER]).is_ok());
        for (kind, wish, said) in [
            ("sink", FOLDER, "a sink plugin cannot ask for [[folder]]: that is for source plugins"),
            ("cutover", FOLDER, "a cutover plugin cannot ask for [[folder]]: that is for source plugins"),
            ("sink", STREAM, "a sink plugin cannot ask for [[stream]]: that is for cutover and launcher plugins"),
            ("source", STREAM, "a source plugin cannot ask for [[stream]]: that is for cutover and launcher plugins"),
            ("launcher", TABLE, "a launcher plugin cannot ask for [netfilter]: that is for cutover plugins"),
            ("sink", TABLE, "a sink plugin cannot ask for [netfilter]: that is for cutover plugins"),
        ] {
            assert_eq!(parse(kind, &[wish]).unwrap_err(), [said]);
        }
    }

    #[test]
    fn what_a_wish_leads_to_is_the_operators_to_name() {
        for (kind, wish, old, new, said) in [
            ("cutover", STREAM, "{config.server}:853", "dns.vendor.test:853", "must be made of one setting"),
            ("cutover", STREAM, "{config.server}:853", "{config.server}.vendor.test:853", "so that the operator names the host"),
            ("cutover", STREAM, "{config.server}:853", "x{config.server}:853", "so that the operator names the host"),
            ("cutover", STREAM, "{config.server}:853", "{config.server}:0", "so that the operator names the host"),
            ("cutover", STREAM, "{config.server}:853", "{config.server}:{config.port}", "must be made of one setting"),
            ("cutover", STREAM, "\"tls\"", "\"udp\"", "unknown variant"),
            ("cutover", STREAM, "\"dns\"", "\"DNS\"", "is no name"),
            ("cutover", STREAM, "\"updates\"", "\" \"", "[[stream]] \"dns\" needs a reason"),
            ("cutover", SOCKET, "{config.socket}", "/run/{config.socket}", "the socket must be one setting"),
            ("source", FOLDER, "{config.exports}", "/etc", "must be made of one setting"),
            ("source", FOLDER, "{config.exports}", "{config.exports}/../..", "the path must be one setting"),
            ("cutover", TABLE, "transload_{config.table}", "filter", "must be made of one setting"),
            ("cutover", TABLE, "transload_{config.table}", "{config.table}", "the table must be \"transload_{config.table}\""),
            ("cutover", TABLE, "transload_{config.table}", "transload_{config.table} x", "the table must be \"transload_{config.table}\""),
            ("cutover", TABLE, "\"moves\"", "\"\"", "[netfilter] needs a reason"),
        ] {
            assert!(wish.contains(old));
            let refused = parse(kind, &[&wish.replace(old, new)]).unwrap_err();
            assert!(refused.len() == 1 && refused[0].contains(said), "{new}: {refused:?}");
        }
        assert_eq!(parse("cutover", &[STREAM, STREAM]).unwrap_err(), ["[[stream]] \"dns\" is asked for twice"]);
    }
}
