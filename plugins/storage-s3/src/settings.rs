//! The operator's settings for one bucket. Unknown keys are refused: a typing mistake must not become a default.

use serde::Deserialize;
use transload_guest::endpoint::Endpoint;
use transload_guest::fault::Fault;

use crate::address::endpoint;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// https://endpoint/bucket/key. Works everywhere but on newest AWS features.
    #[default]
    Path,
    /// https://bucket.endpoint/key.
    VirtualHost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// The signature covers the headers, TLS and the checksum cover the body: the host need not read it twice.
    #[default]
    Unsigned,
    /// The signature covers the body's SHA-256 as well. For endpoints without TLS.
    Signed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// The store compares the body with `x-amz-checksum-crc32c` and refuses it when it differs.
    #[default]
    Crc32c,
    /// For stores that refuse checksum headers they do not know.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Create {
    /// `If-None-Match: *` decides one winner, as AWS promises since 2024.
    #[default]
    Atomic,
    /// The store takes the header but does not decide races by it.
    Advisory,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    endpoint: String,
    region: String,
    bucket: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    addressing: Addressing,
    access_key: String,
    #[serde(default = "secret_key")]
    secret_key: String,
    #[serde(default)]
    payload: Payload,
    #[serde(default)]
    checksum: Checksum,
    #[serde(default)]
    create: Create,
}

fn secret_key() -> String {
    "secret-key".to_owned()
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub endpoint: Endpoint,
    pub region: String,
    pub bucket: String,
    /// Empty, or it ends with '/'.
    pub prefix: String,
    pub addressing: Addressing,
    /// The key's public id.
    pub access_key: String,
    /// The name of the secret in the grant, never its value.
    pub secret_key: String,
    pub payload: Payload,
    pub checksum: Checksum,
    pub create: Create,
}

impl Settings {
    pub fn parse(json: &str) -> Result<Settings, Fault> {
        let written: Written = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        for (name, value) in [("region", &written.region), ("bucket", &written.bucket), ("access-key", &written.access_key)] {
            if value.is_empty() || value.contains(|c: char| c.is_control() || c == '/' || c == ' ') {
                return Err(wrong(format!("{name} is empty or holds a character that cannot be in it")));
            }
        }
        let trimmed = written.prefix.trim_matches('/');
        Ok(Settings {
            endpoint: endpoint(&written.endpoint)?,
            prefix: if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") },
            region: written.region,
            bucket: written.bucket,
            addressing: written.addressing,
            access_key: written.access_key,
            secret_key: written.secret_key,
            payload: written.payload,
            checksum: written.checksum,
            create: written.create,
        })
    }
}

fn wrong(why: String) -> Fault {
    Fault::invalid(format!("The S3 settings cannot be used: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lines_are_enough_and_the_prefix_ends_with_one_slash() {
        let json = r#"{"endpoint":"https://s3.example.test/","region":"eu-1","bucket":"b","access-key":"AK","prefix":"/site-a//"}"#;
        let settings = Settings::parse(json).unwrap();
        assert_eq!((settings.prefix.as_str(), settings.addressing, settings.payload), ("site-a/", Addressing::Path, Payload::Unsigned));
        assert_eq!(settings.secret_key, "secret-key");
    }

    #[test]
    fn unknown_keys_and_unusable_values_are_refused_by_name() {
        let unknown = r#"{"endpoint":"https://e","region":"r","bucket":"b","access-key":"AK","bukcet":"x"}"#;
        assert!(Settings::parse(unknown).unwrap_err().message.contains("bukcet"));
        let slash = r#"{"endpoint":"https://e","region":"r","bucket":"a/b","access-key":"AK"}"#;
        assert!(Settings::parse(slash).unwrap_err().message.contains("bucket"));
        assert!(Settings::parse("{}").unwrap_err().message.contains("endpoint"));
    }
}
