//! The operator's settings for one vCenter or ESXi host. Unknown keys are refused.

use serde::Deserialize;
use transload_guest::fault::Fault;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    url: String,
    username: String,
    #[serde(default = "password")]
    password: String,
    #[serde(default)]
    target_disk_size_max: Option<u64>,
    #[serde(default = "disks_per_host_max")]
    disks_per_host_max: u32,
    #[serde(default = "tag_prefix")]
    tag_prefix: String,
    #[serde(default)]
    quiesce: Quiescing,
}

/// What becomes of a wish for a quiesced snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quiescing {
    /// Ask; when the guest cannot, take a crash-consistent snapshot and say so.
    #[default]
    Fallback,
    /// Ask; when the guest cannot, fail.
    Require,
    /// Never ask: for guests whose quiescing does harm.
    Never,
}

/// An ESXi host has 32 MB of buffers for reads over its network file copy, at 4 MB a disk.
fn disks_per_host_max() -> u32 {
    8
}

fn password() -> String {
    "password".to_owned()
}

fn tag_prefix() -> String {
    "transload-".to_owned()
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// "https://vcenter.example.test", without a slash at the end.
    pub origin: String,
    pub username: String,
    /// The name of the secret in the grant, never its value.
    pub password: String,
    /// The largest disk that the target takes, in bytes.
    pub target_disk_size_max: Option<u64>,
    pub disks_per_host_max: u32,
    /// Snapshots whose name starts so are the agent's own.
    pub tag_prefix: String,
    pub quiesce: Quiescing,
}

impl Settings {
    pub fn parse(json: &str) -> Result<Settings, Fault> {
        let wrong = |why: String| Fault::invalid(format!("The vSphere settings cannot be used: {why}."));
        let written: Written = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let origin = written.url.trim_end_matches('/');
        let origin = origin.strip_suffix("/sdk").unwrap_or(origin);
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if authority.is_none_or(|authority| authority.is_empty() || authority.contains(['/', '?', '#', '@', ' '])) {
            return Err(wrong(format!("url {} is not an origin such as https://vcenter.example.test", written.url)));
        }
        if written.username.is_empty() {
            return Err(wrong("username is empty".to_owned()));
        }
        if written.disks_per_host_max == 0 {
            return Err(wrong("disks-per-host-max is 0: no disk could be read".to_owned()));
        }
        if written.tag_prefix.is_empty() {
            // Everybody's snapshots start with nothing: all of them would look like our own.
            return Err(wrong("tag-prefix is empty".to_owned()));
        }
        Ok(Settings {
            origin: origin.to_owned(),
            username: written.username,
            password: written.password,
            target_disk_size_max: written.target_disk_size_max,
            disks_per_host_max: written.disks_per_host_max,
            tag_prefix: written.tag_prefix,
            quiesce: written.quiesce,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_and_username_are_enough_and_the_sdk_path_is_taken_off() {
        let settings = Settings::parse(r#"{"url":"https://vc.test/sdk/","username":"u"}"#).unwrap();
        assert_eq!((settings.origin.as_str(), settings.password.as_str()), ("https://vc.test", "password"));
        assert_eq!((settings.tag_prefix.as_str(), settings.quiesce), ("transload-", Quiescing::Fallback));
        assert_eq!(settings.disks_per_host_max, 8);
    }

    #[test]
    fn mistakes_are_named() {
        for (json, word) in [
            (r#"{"url":"https://vc","username":"u","usrname":"x"}"#, "usrname"),
            (r#"{"url":"vc.test","username":"u"}"#, "vc.test"),
            (r#"{"url":"https://a@vc","username":"u"}"#, "origin"),
            (r#"{"url":"https://vc","username":""}"#, "username"),
            (r#"{"url":"https://vc","username":"u","tag-prefix":""}"#, "tag-prefix"),
            (r#"{"url":"https://vc","username":"u","disks-per-host-max":0}"#, "disks-per-host-max"),
        ] {
            assert!(Settings::parse(json).unwrap_err().message.contains(word), "{json}");
        }
    }
}
