//! PowerDNS as a process: a name server that others wrote, with its HTTP API.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::parts;

pub const API_KEY: &str = "names/secret+key/0123456789";
pub const ZONE: &str = "example.test";
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// A running server with one zone; it dies with this value.
pub struct Names {
    child: Child,
    folder: PathBuf,
    pub api: String,
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Names {
    /// Starts a server below the folder, with `www` at an address in its zone; `None` where the program is not there.
    pub async fn start(folder: &Path, www: &str) -> Option<Names> {
        let program = parts::foreign("TRANSLOAD_PDNS")?;
        let folder = folder.join("names");
        std::fs::create_dir_all(&folder).expect("the site can be written");
        let schema = std::fs::File::open(SCHEMA).expect("the package of the backend brings its schema");
        let made = Command::new("sqlite3").arg(folder.join("db")).stdin(schema).status().expect("sqlite3 starts");
        assert!(made.success());
        // Somebody may take one of its ports before it does: then it ends at once, and is started with other ones.
        for _ in 0..3 {
            let mut names = Names::spawn(&program, &folder);
            if names.is_ready().await {
                names.util(&["create-zone", ZONE, &format!("ns.{ZONE}")]);
                names.util(&["add-record", ZONE, "www", "A", "3600", www]);
                return Some(names);
            }
        }
        panic!("pdns_server ended three times while it started: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    fn spawn(program: &Path, folder: &Path) -> Names {
        let [api, dns] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
        let [api, dns] = [api, dns].map(|listener| listener.local_addr().expect("it is bound").port());
        let place = folder.display();
        let config = format!(
            "launch=gsqlite3\ngsqlite3-database={place}/db\nsocket-dir={place}\nlocal-address=127.0.0.1\nlocal-port={dns}\nwebserver=yes\n\
             webserver-port={api}\napi=yes\napi-key={API_KEY}\ndisable-syslog=yes\n"
        );
        std::fs::write(folder.join("pdns.conf"), config).expect("the site can be written");
        let log = std::fs::File::create(folder.join("log")).expect("the site can be written");
        let mut command = Command::new(program);
        command.arg(format!("--config-dir={place}")).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("pdns_server starts");
        Names { child, folder: folder.to_owned(), api: format!("http://127.0.0.1:{api}") }
    }

    async fn is_ready(&mut self) -> bool {
        for _ in 0..600 {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if tokio::net::TcpStream::connect(self.api.trim_start_matches("http://")).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The lines of the zone about a name, by the server's own tool.
    pub fn records(&self, name: &str) -> Vec<String> {
        let listed = self.util(&["list-zone", ZONE]);
        let of_name = |line: &&str| line.starts_with(&format!("{name}.{ZONE}\t"));
        listed.lines().filter(of_name).map(|line| line.replace('\t', " ")).collect()
    }

    fn util(&self, arguments: &[&str]) -> String {
        let config = format!("--config-dir={}", self.folder.display());
        let mut command = Command::new("pdnsutil");
        let output = parts::waiting(|| command.arg(config).args(arguments).output()).expect("pdnsutil starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it speaks UTF-8")
    }
}
