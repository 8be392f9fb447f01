//! The product's S3 plugin, configured as an operator would.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use transload::clock::SystemClock;
use transload::config::Config;
use transload::net::{Client, Endpoint, Origin, Plaintext};
use transload::wasm::{Approvals, CodeCache, PluginHost, PluginSink};

/// The sink on a server that believes everybody.
pub async fn s3(url: &str, bucket: &str) -> Result<PluginSink> {
    s3_below(url, bucket, "", ("AK", "SK")).await
}

/// The sink on a server without TLS, below a prefix.
pub async fn s3_below(url: &str, bucket: &str, prefix: &str, keys: (&str, &str)) -> Result<PluginSink> {
    let place = tempfile::tempdir()?;
    let config = s3_config(place.path(), url, bucket, prefix, keys)?;
    let host = PluginHost::new(Arc::new(SystemClock::default()), CodeCache::none(), Approvals::of_everything())?;
    host.sink(&config.sink).await.map_err(|refused| anyhow!("{refused}"))
}

/// The same as an operator writes it.
pub fn s3_config(place: &Path, url: &str, bucket: &str, prefix: &str, (access_key, secret_key): (&str, &str)) -> Result<Config> {
    let secret = private(&place.join("secret"), secret_key)?;
    let key = private(&place.join("key"), &"42".repeat(32))?;
    let text = format!(
        "state = \"state\"\nrole = \"receiver\"\nplugins = {plugins:?}\n[key]\nfile = {key:?}\n[receiver]\nreplicas = \"replicas\"\n\
         [sink]\nname = \"store\"\nplugin = \"storage-s3\"\nsecrets = {{ secret-key = {secret:?} }}\n\
         config = {{ endpoint = \"{url}\", region = \"us-east-1\", bucket = \"{bucket}\", prefix = \"{prefix}\", access-key = \"{access_key}\" }}\n\
         [[sink.endpoint]]\norigin = \"{url}\"\nplaintext = true\n",
        plugins = plugins()?,
    );
    Config::parse(&text, place).map_err(|error| anyhow!("{error}"))
}

/// The same client that the plugin's requests go through.
pub fn client(url: &str) -> Result<Client> {
    let origin = Origin::parse(url).map_err(|why| anyhow!("{why}"))?;
    let endpoint = Endpoint { plaintext: Plaintext::Allowed, ..Endpoint::usual(origin) };
    Client::new(endpoint).map_err(|why| anyhow!("{why}"))
}

fn plugins() -> Result<PathBuf> {
    std::env::var_os("TRANSLOAD_PLUGINS")
        .map(PathBuf::from)
        .context("TRANSLOAD_PLUGINS is not set: `cargo xtask bench` says where they are")
}

fn private(path: &Path, content: &str) -> Result<PathBuf> {
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path.to_owned())
}
