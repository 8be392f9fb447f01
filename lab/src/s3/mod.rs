//! An S3 server: s3s-fs behind a front that adds what it lacks (TLS, atomic conditional puts) and what tests need
//! (faults, tampering with what is stored).

mod front;
mod knobs;
mod objects;

pub use knobs::{Counters, Knobs};

use crate::server::Server;
use anyhow::{Context, Result};
use front::Front;
use rustls::ServerConfig;
use s3s::auth::SimpleAuth;
use s3s::host::{S3Host, VirtualHost};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, validation};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the server accepts.
#[derive(Clone, Debug)]
pub struct S3Options {
    pub bucket: String,
    pub access_key: String,
    pub secret_key: String,
}

impl Default for S3Options {
    fn default() -> S3Options {
        S3Options { bucket: "transload".into(), access_key: "LABACCESSKEY".into(), secret_key: "lab/secret+key/0123456789".into() }
    }
}

/// A running S3 server: one bucket, one account, a TLS and a plain socket over the same objects.
pub struct S3 {
    options: S3Options,
    root: PathBuf,
    front: Arc<Front>,
    tls: Server,
    plain: Server,
}

impl S3 {
    pub(crate) async fn start(root: &Path, tls: Arc<ServerConfig>, options: S3Options) -> Result<S3> {
        std::fs::create_dir_all(root.join(&options.bucket)).context("create the bucket")?;
        let files = s3s_fs::FileSystem::new(root).map_err(|error| anyhow::anyhow!("open the object store: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(options.access_key.clone(), options.secret_key.clone()));
        builder.set_host(Loopback);
        builder.set_validation(validation::AwsNameValidation::new());
        let front = Arc::new(Front::new(builder.build(), root.to_owned(), options.bucket.clone()));
        let plain = crate::server::serve(None, front::service(front.clone())).await?;
        let tls = crate::server::serve(Some(tls), front::service(front.clone())).await?;
        Ok(S3 { options, root: root.to_owned(), front, tls, plain })
    }

    /// `https://127.0.0.1:port`, path style. Virtual-hosted style: `https://BUCKET.localhost:port` at the same address.
    pub fn url(&self) -> String {
        format!("https://{}", self.tls.address)
    }

    pub fn plain_url(&self) -> String {
        format!("http://{}", self.plain.address)
    }

    pub fn bucket(&self) -> &str {
        &self.options.bucket
    }

    pub fn access_key(&self) -> &str {
        &self.options.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.options.secret_key
    }

    pub fn knobs(&self) -> Knobs {
        self.front.knobs()
    }

    pub fn set_knobs(&self, change: impl FnOnce(&mut Knobs)) {
        self.front.with_knobs(change);
    }

    pub fn counters(&self) -> Counters {
        self.front.counters()
    }
}

/// `bucket.localhost` names a bucket; every other host is path style.
struct Loopback;

impl S3Host for Loopback {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        Ok(match name.strip_suffix(".localhost") {
            Some(bucket) => VirtualHost::new("localhost").with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}
