//! The operator's settings for one container. Unknown keys are refused: a typing mistake must not become a default.

use serde::Deserialize;
use transload_guest::endpoint::Endpoint;
use transload_guest::fault::Fault;

use crate::address::endpoint;

/// A blob's name has at most 1,024 characters; the host's keys take 512 of them, and a slash one.
const PREFIX_BYTES_MAX: usize = 511;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// The endpoint is the account's own: https://ACCOUNT.blob.core.windows.net/container/key.
    #[default]
    Host,
    /// The account is the first part of the path, as emulators have it: http://127.0.0.1:10000/ACCOUNT/container/key.
    Path,
}

/// How requests show that they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// The secret `account-key` signs each request.
    #[default]
    SharedKey,
    /// The secret `sas` is a shared access signature, which ends at its own time.
    SharedAccess,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    endpoint: String,
    account: String,
    container: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    addressing: Addressing,
    #[serde(default)]
    login: Login,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub endpoint: Endpoint,
    pub account: String,
    pub container: String,
    /// Empty, or it ends with '/'.
    pub prefix: String,
    pub addressing: Addressing,
    pub login: Login,
}

impl Settings {
    pub fn parse(json: &str) -> Result<Settings, Fault> {
        let written: Written = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        if !is_account(&written.account) {
            return Err(wrong("account must be the storage account's name: 3 to 24 lower-case letters and digits"));
        }
        if !is_container(&written.container) {
            return Err(wrong("container must be 3 to 63 lower-case letters, digits and single hyphens between them"));
        }
        Ok(Settings {
            endpoint: endpoint(&written.endpoint)?,
            prefix: prefix(&written.prefix)?,
            account: written.account,
            container: written.container,
            addressing: written.addressing,
            login: written.login,
        })
    }
}

fn is_account(name: &str) -> bool {
    (3..=24).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_container(name: &str) -> bool {
    (3..=63).contains(&name.len()) && name.split('-').all(|word| !word.is_empty() && word.bytes().all(is_plain))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Without slashes around it and with one behind it.
fn prefix(text: &str) -> Result<String, Fault> {
    let trimmed = text.trim_matches('/');
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    if trimmed.len() > PREFIX_BYTES_MAX {
        return Err(wrong(format!("prefix has {} bytes; it may have {PREFIX_BYTES_MAX}", trimmed.len())));
    }
    if trimmed.contains(|c: char| c.is_control() || c == '\\') {
        return Err(wrong("prefix holds a control character or a backslash"));
    }
    // Azure's rules for names forbid such dots, and a URL loses the parts that are nothing else.
    if trimmed.split('/').any(|part| part.is_empty() || part.ends_with('.')) {
        return Err(wrong("prefix has an empty part, or one that ends with a dot"));
    }
    Ok(format!("{trimmed}/"))
}

fn wrong(why: impl std::fmt::Display) -> Fault {
    Fault::invalid(format!("The Azure settings cannot be used: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(account: &str, container: &str, prefix: &str) -> Result<Settings, Fault> {
        let json = format!(r#"{{"endpoint":"https://a.test","account":"{account}","container":"{container}","prefix":"{prefix}"}}"#);
        Settings::parse(&json)
    }

    #[test]
    fn three_lines_are_enough_and_the_prefix_ends_with_one_slash() {
        let settings = Settings::parse(r#"{"endpoint":"https://a.test/","account":"acct1","container":"my-c"}"#).unwrap();
        assert_eq!((settings.prefix.as_str(), settings.addressing), ("", Addressing::Host));
        assert_eq!(with("acct1", "my-c", "/site-a//").unwrap().prefix, "site-a/");
        assert_eq!(with("acct1", "my-c", "é x/b").unwrap().prefix, "é x/b/");
    }

    #[test]
    fn unknown_keys_and_missing_ones_are_refused_by_name() {
        let unknown = r#"{"endpoint":"https://e","account":"acct1","container":"ccc","contianer":"x"}"#;
        assert!(Settings::parse(unknown).unwrap_err().message.contains("contianer"));
        assert!(Settings::parse("{}").unwrap_err().message.contains("endpoint"));
        // The key is a secret; in the settings it would be written to logs.
        let key = r#"{"endpoint":"https://e","account":"acct1","container":"ccc","account-key":"x"}"#;
        assert!(Settings::parse(key).unwrap_err().message.contains("account-key"));
    }

    #[test]
    fn names_that_azure_does_not_have_are_refused_before_a_packet_leaves() {
        for bad in ["", "ab", "Account", "my-account", "a2345678901234567890123x5", "acct/1"] {
            assert!(with(bad, "ccc", "").unwrap_err().message.contains("account must"), "{bad}");
        }
        for bad in ["", "cc", "Container", "-ccc", "ccc-", "c--c", "c_c", "a/b", &"c".repeat(64)] {
            assert!(with("acct1", bad, "").unwrap_err().message.contains("container must"), "{bad}");
        }
        assert!(with("devstoreaccount1", &"c".repeat(63), "").is_ok());
    }

    #[test]
    fn a_prefix_that_would_not_arrive_as_it_is_written_is_refused() {
        for bad in ["a//b", "a/../b", "./a", "a./b", "a\\\\b", "a\\u0007b", &"x".repeat(512)] {
            assert!(with("acct1", "ccc", bad).unwrap_err().message.contains("prefix"), "{bad}");
        }
        assert!(with("acct1", "ccc", &"x".repeat(511)).is_ok());
    }
}
