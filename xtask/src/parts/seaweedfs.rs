//! A running SeaweedFS on loopback, fresh each time, with one administrator: access key AK, secret SK.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::python;
use crate::command::Background;
use crate::workspace::Workspace;

const IDENTITIES: &str = r#"{"identities":[{"name":"admin","credentials":[{"accessKey":"AK","secretKey":"SK"}],
"actions":["Admin","Read","List","Tagging","Write"]}]}"#;

/// The server and the URL of its S3 side. It is killed at the end: it takes half a minute to heed a polite signal.
pub fn start(workspace: &Workspace) -> Result<(Background, String)> {
    // A folder left by a kill costs it some twelve seconds of repair.
    let folder = workspace.target.join("seaweedfs");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let identities = folder.join("identities.json");
    std::fs::write(&identities, IDENTITIES)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let [master, volume, filer, s3] = ports()?;
    let mut command = Command::new(python::weed(workspace));
    command
        .arg("-logdir")
        .arg(&folder)
        .arg("server")
        .arg(format!("-dir={}", folder.display()))
        .arg(format!("-s3.config={}", identities.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=100", "-master.volumeSizeLimitMB=64", "-filer", "-s3"]);
    command.args([format!("-master.port={master}"), format!("-volume.port={volume}"), format!("-filer.port={filer}")]);
    command.args([format!("-s3.port={s3}"), "-s3.port.iceberg=0".to_owned(), "-s3.port.lance=0".to_owned()]);
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("SeaweedFS does not start")?;
    let mut server = Background(child);
    for _ in 0..600 {
        // Its S3 side listens before the filer behind it does.
        if [filer, s3].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            return Ok((server, format!("http://127.0.0.1:{s3}")));
        }
        if let Some(status) = server.0.try_wait()? {
            bail!("SeaweedFS ended while it started ({status}); {} says why", folder.join("log").display());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("SeaweedFS did not come up within a minute; {} says why", folder.join("log").display())
}

/// Four ports that are free now, and free 10,000 above as well: there it speaks with itself.
fn ports() -> Result<[u16; 4]> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok();
    let found: Vec<u16> = (20_000..29_000).filter(free).take(4).collect();
    found.try_into().ok().context("no four free ports for SeaweedFS")
}
