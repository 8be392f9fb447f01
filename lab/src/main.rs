//! `transload-lab serve`: the lab as a process, for the demo, for Python, for looking around.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lab::{ControlServer, Lab, LabOptions, Size, fleet_options, populate, populate_fleet};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A simulated datacentre on loopback.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything, writes DIR/lab.json, and serves until it is stopped.
    Serve {
        /// Where the disks and objects go.
        #[arg(long)]
        dir: PathBuf,
        /// Small disks: a few dozen MB instead of 600.
        #[arg(long)]
        small: bool,
        /// No VMs; they come by POST /vm.
        #[arg(long)]
        empty: bool,
        /// 301 VMs on 12 hosts and 8 datastores instead, with disks of 2 MiB.
        #[arg(long, conflicts_with_all = ["small", "empty"])]
        fleet: bool,
        /// Compute the digest of every snapshot when it is taken.
        #[arg(long)]
        digest_every_snapshot: bool,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let Command::Serve { dir, small, empty, fleet, digest_every_snapshot } = Arguments::parse().command;
    let mut options = LabOptions::new(&dir);
    if fleet {
        options.vcenter = fleet_options();
    }
    options.vcenter.digest_every_snapshot = digest_every_snapshot;
    let lab = Arc::new(Lab::start(options).await?);
    if fleet {
        populate_fleet(lab.vcenter(), 2 << 20).await?;
    } else if !empty {
        populate(lab.vcenter(), if small { Size::Small } else { Size::Full }).await?;
    }
    let control = ControlServer::start(lab.clone()).await?;
    let description = describe(&lab, &control)?;
    println!("The lab is up; {} says where.", description.display());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("wait for the end")?,
    }
    Ok(())
}

/// Writes `lab.json` last and by rename, so that whoever sees it can start.
fn describe(lab: &Lab, control: &ControlServer) -> Result<PathBuf> {
    let directory = lab.directory();
    let (vcenter, s3) = (lab.vcenter(), lab.s3());
    let authority = directory.join("ca.pem");
    std::fs::write(&authority, lab.authority_pem())?;
    let password = write_secret(directory.join("vcenter-password"), vcenter.password())?;
    let secret_key = write_secret(directory.join("s3-secret-key"), s3.secret_key())?;
    let content = json!({
        "ca_file": authority,
        "control": control.url(),
        "vcenter": {
            "url": vcenter.url(),
            "user": vcenter.user(),
            "password_file": password,
            "certificate_sha256": vcenter.leaf_sha256(),
            "datacenter_path": vcenter.datacenter_path(),
            "vms": vcenter.vms(),
        },
        "s3": {
            "url": s3.url(),
            "plain_url": s3.plain_url(),
            "bucket": s3.bucket(),
            "region": "us-east-1",
            "access_key": s3.access_key(),
            "secret_key_file": secret_key,
        },
    });
    let target = directory.join("lab.json");
    let draft = directory.join("lab.json.new");
    std::fs::write(&draft, serde_json::to_vec_pretty(&content)?)?;
    std::fs::rename(&draft, &target)?;
    Ok(target)
}

fn write_secret(path: PathBuf, secret: &str) -> Result<PathBuf> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(secret.as_bytes())?;
    Ok(path)
}
