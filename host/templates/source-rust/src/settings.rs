//! What the operator writes under `config` in the agent's configuration.

use serde::Deserialize;
use transload_guest::fault::Fault;

/// An unknown key is refused: a typing mistake must not become a default.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// "https://store.example.test:9000", without a path.
    pub endpoint: String,
    pub bucket: String,
    /// Stands in front of every key, so that the images can share a bucket with others.
    #[serde(default)]
    pub prefix: String,
}

impl Settings {
    pub fn parse(json: &str) -> Result<Settings, Fault> {
        let mut settings: Settings = serde_json::from_str(json).map_err(wrong)?;
        settings
            .endpoint
            .truncate(settings.endpoint.trim_end_matches('/').len());
        let plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        };
        if settings.bucket.is_empty() || settings.bucket.contains('/') || !plain(&settings.bucket) {
            return Err(wrong("bucket must be the name of a bucket"));
        }
        if !plain(&settings.prefix) {
            return Err(wrong(
                "prefix may hold letters, digits, '-', '_', '.' and '/'",
            ));
        }
        Ok(settings)
    }
}

fn wrong(why: impl std::fmt::Display) -> Fault {
    Fault::invalid(format!(
        "The settings of this source cannot be used: {why}."
    ))
}
