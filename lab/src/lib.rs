//! A datacentre on this machine's loopback: a vCenter with VMs, an S3 server, TLS on both.
//!
//! The demo and the end-to-end tests run the real agent against it. It shares no code with the agent, so that what it
//! says about a disk is an independent opinion.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use lab::vcenter::{DiskSpec, VmSpec};
//! let lab = lab::Lab::start(lab::LabOptions::new("target/lab")).await?;
//! let vm = lab.vcenter().add_vm(VmSpec::new("web", vec![DiskSpec::with_files(64 << 20, 10 << 20)])).await?;
//! println!("{} at {}", vm, lab.vcenter().url());
//! # Ok(()) }
//! ```

mod certificate;
mod control;
mod disk;
mod fleet;
mod guest;
mod population;
pub mod s3;
mod server;
mod soap;
pub mod vcenter;
mod vmdk;

pub use control::ControlServer;
pub use disk::sparse_digest;
pub use fleet::{FLEET_VMS, fleet_disks, fleet_options, fleet_vm, populate_fleet};
pub use guest::Workload;
pub use population::{Size, populate};

use anyhow::{Context, Result};
use s3::{S3, S3Options};
use std::path::PathBuf;
use std::sync::Arc;
use vcenter::{Datacentre, VCenter, VCenterOptions};

/// Where the lab keeps its files and what it starts.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Created if missing; the lab begins with empty folders inside it and never reads old state.
    pub directory: PathBuf,
    pub vcenter: VCenterOptions,
    pub s3: S3Options,
}

impl LabOptions {
    pub fn new(directory: impl Into<PathBuf>) -> LabOptions {
        LabOptions { directory: directory.into(), vcenter: VCenterOptions::default(), s3: S3Options::default() }
    }
}

/// The running datacentre. Dropping it closes the sockets; the files stay.
pub struct Lab {
    directory: PathBuf,
    vcenter: VCenter,
    s3: S3,
}

impl Lab {
    /// Starts the servers with an empty inventory, see [`populate`] and [`VCenter::add_vm`].
    pub async fn start(options: LabOptions) -> Result<Lab> {
        let directory = options.directory;
        std::fs::create_dir_all(&directory).with_context(|| format!("create the lab's directory {}", directory.display()))?;
        let directory = directory.canonicalize()?;
        for part in ["vcenter", "s3"] {
            match std::fs::remove_dir_all(directory.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("clear an old lab"),
                _ => std::fs::create_dir(directory.join(part))?,
            }
        }
        let certificate = certificate::generate(&options.s3.bucket)?;
        let s3 = S3::start(&directory.join("s3"), certificate.tls.clone(), options.s3).await?;
        let centre = Arc::new(Datacentre::new(&directory.join("vcenter"), options.vcenter)?);
        let server = server::serve(Some(certificate.tls), vcenter::service(centre.clone())).await?;
        let vcenter = VCenter { centre, server, authority_pem: certificate.authority_pem, leaf_sha256: certificate.leaf_sha256 };
        Ok(Lab { directory, vcenter, s3 })
    }

    pub fn vcenter(&self) -> &VCenter {
        &self.vcenter
    }

    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// The authority behind both servers' certificates.
    pub fn authority_pem(&self) -> &str {
        self.vcenter.authority_pem()
    }
}
