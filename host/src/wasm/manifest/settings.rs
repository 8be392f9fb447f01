//! Which settings a plugin knows: what an operator may write under `config`, said by the manifest and checked before anything runs.
//!
//! A manifest that names none leaves the judgement to the plugin.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::is_name;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: SettingKind,
    #[serde(default)]
    pub required: bool,
    /// The only texts that it may be; none: any.
    #[serde(default)]
    pub one_of: Vec<String>,
    /// What the plugin takes where it is left out. Only shown.
    #[serde(default)]
    pub default: Option<toml::Value>,
    /// One line, for the person who writes it.
    pub says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    Text,
    /// A whole one.
    Number,
    Flag,
    Texts,
    /// The plugin knows what is in it.
    Table,
}

impl SettingKind {
    fn word(self) -> &'static str {
        match self {
            SettingKind::Text => "a text",
            SettingKind::Number => "a whole number",
            SettingKind::Flag => "true or false",
            SettingKind::Texts => "a list of texts",
            SettingKind::Table => "a table",
        }
    }

    fn fits(self, value: &toml::Value) -> bool {
        match self {
            SettingKind::Text => value.is_str(),
            SettingKind::Number => value.is_integer(),
            SettingKind::Flag => value.is_bool(),
            SettingKind::Texts => value.as_array().is_some_and(|values| values.iter().all(toml::Value::is_str)),
            SettingKind::Table => value.is_table(),
        }
    }
}

impl Setting {
    /// What is wrong with this value of it, if anything.
    fn misfit(&self, value: &toml::Value) -> Option<String> {
        if !self.kind.fits(value) {
            return Some(format!("config.{} must be {} ({})", self.name, self.kind.word(), self.says));
        }
        let known = self.one_of.is_empty() || value.as_str().is_some_and(|text| self.one_of.iter().any(|one| one == text));
        (!known).then(|| format!("config.{} must be one of {} ({})", self.name, self.one_of.join(", "), self.says))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20} {}: ", self.name, self.says)?;
        match &self.one_of[..] {
            [] => f.write_str(self.kind.word())?,
            some => f.write_str(&some.join(" or "))?,
        }
        match (&self.default, self.required) {
            (Some(default), _) => write!(f, "; {default} where it is left out"),
            (None, true) => f.write_str("; required"),
            (None, false) => Ok(()),
        }
    }
}

/// What is wrong with the manifest's own words.
pub fn check(settings: &[Setting]) -> Result<(), String> {
    for (index, setting) in settings.iter().enumerate() {
        let Setting { name, kind, required, one_of, default, says } = setting;
        if !is_name(name) {
            return Err(format!("[[setting]] {name:?} is no name: use lower-case letters, digits and hyphens, at most 40"));
        }
        if settings[..index].iter().any(|other| other.name == *name) {
            return Err(format!("[[setting]] {name:?} is there twice"));
        }
        if says.trim().is_empty() {
            return Err(format!("[[setting]] {name:?} must say what it is"));
        }
        if !one_of.is_empty() && *kind != SettingKind::Text {
            return Err(format!("[[setting]] {name:?}: one-of is for texts"));
        }
        if let Some(default) = default {
            if *required {
                return Err(format!("[[setting]] {name:?}: what is required has no default"));
            }
            if let Some(why) = setting.misfit(default) {
                return Err(format!("[[setting]] {name:?}: its default does not fit: {why}"));
            }
        }
    }
    Ok(())
}

/// What is wrong with the operator's settings, one sentence each.
pub fn misfits(known: &[Setting], config: &toml::Table) -> Vec<String> {
    if known.is_empty() {
        return Vec::new();
    }
    let names = || known.iter().map(|setting| setting.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = config.keys().filter(|key| known.iter().all(|setting| setting.name != **key));
    let unknown = unknown.map(|key| format!("it knows no setting {key:?}; under config it knows {}", names()));
    let wrong = known.iter().filter_map(|setting| match config.get(&setting.name) {
        Some(value) => setting.misfit(value),
        None if setting.required => Some(format!("it needs the setting {:?} ({}): add it under config", setting.name, setting.says)),
        None => None,
    });
    unknown.chain(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::Manifest;

    const SETTINGS: &str = r#"
[[setting]]
name = "endpoint"
type = "text"
required = true
says = "where the store is"
[[setting]]
name = "addressing"
type = "text"
one-of = ["path", "virtual-host"]
default = "path"
says = "how a bucket is named in a request"
[[setting]]
name = "pages"
type = "number"
says = "pages at one time"
[[setting]]
name = "hosts"
type = "texts"
says = "which hosts"
"#;

    fn manifest(settings: &str) -> Result<Manifest, Vec<String>> {
        let head = "name = \"x\"\nkind = \"sink\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n";
        Manifest::parse(&format!("{head}{settings}"))
    }

    fn wrong(config: &str) -> Vec<String> {
        misfits(&manifest(SETTINGS).unwrap().settings, &config.parse().unwrap())
    }

    #[test]
    fn settings_that_fit_pass_and_all_that_do_not_are_said_with_what_they_are() {
        assert_eq!(
            wrong("endpoint = \"https://s3.test\"\naddressing = \"virtual-host\"\npages = 3\nhosts = [\"a\"]"),
            Vec::<String>::new()
        );
        assert_eq!(
            wrong("adressing = \"path\"\npages = 1.5\nhosts = [\"a\", 7]"),
            [
                "it knows no setting \"adressing\"; under config it knows endpoint, addressing, pages, hosts",
                "it needs the setting \"endpoint\" (where the store is): add it under config",
                "config.pages must be a whole number (pages at one time)",
                "config.hosts must be a list of texts (which hosts)",
            ]
        );
        assert_eq!(
            wrong("endpoint = \"https://s3.test\"\naddressing = \"magic\""),
            ["config.addressing must be one of path, virtual-host (how a bucket is named in a request)"]
        );
    }

    #[test]
    fn a_setting_is_shown_in_one_line() {
        let shown: Vec<String> = manifest(SETTINGS).unwrap().settings.iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], "endpoint             where the store is: a text; required");
        assert_eq!(
            shown[1],
            "addressing           how a bucket is named in a request: path or virtual-host; \"path\" where it is left out"
        );
        assert_eq!(shown[3], "hosts                which hosts: a list of texts");
    }

    #[test]
    fn a_manifest_that_names_none_leaves_the_judgement_to_the_plugin() {
        assert!(misfits(&manifest("").unwrap().settings, &"anything = 1".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_manifest_whose_own_settings_make_no_sense_is_refused() {
        for (old, new, said) in [
            ("\"where the store is\"", "\" \"", "[[setting]] \"endpoint\" must say what it is"),
            ("name = \"pages\"", "name = \"endpoint\"", "[[setting]] \"endpoint\" is there twice"),
            ("\"pages\"", "\"Pages\"", "[[setting]] \"Pages\" is no name: use lower-case letters, digits and hyphens, at most 40"),
            (
                "default = \"path\"",
                "default = \"paths\"",
                "[[setting]] \"addressing\": its default does not fit: config.addressing must be one of path, virtual-host (how a bucket is named \
                 in a request)",
            ),
            ("required = true", "required = true\ndefault = \"x\"", "[[setting]] \"endpoint\": what is required has no default"),
            ("type = \"number\"", "type = \"number\"\none-of = [\"1\"]", "[[setting]] \"pages\": one-of is for texts"),
        ] {
            assert!(SETTINGS.contains(old));
            assert_eq!(manifest(&SETTINGS.replacen(old, new, 1)).err().unwrap(), [said]);
        }
    }
}
