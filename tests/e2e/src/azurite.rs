//! Azurite as a process: the emulator of Azure Blob Storage that Microsoft writes, with two accounts of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::parts;
use crate::setup::{Setup, secret_file};
use crate::site::Site;

/// Each with its key as the portal shows it, and as the operator puts it into a file.
const ACCOUNTS: [(&str, &str); 2] = [
    ("transload1", "dGhlIGtleSBvZiBhbiBhY2NvdW50IHRoYXQgbGl2ZXMgZm9yIG9uZSB0ZXN0"),
    ("transload2", "dGhlIGtleSBvZiB0aGUgYWNjb3VudCBiZXNpZGUgaXQ="),
];
const CONTAINER: &str = "replication";

/// A running emulator with an empty container in each account; it dies with this value.
pub struct Azurite {
    child: Child,
    // It is told to be silent, but what it says all the same must have somewhere to go.
    _said: BufReader<ChildStdout>,
    pub url: String,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Azurite {
    /// Starts one below the folder; `None` where the program is not there.
    pub fn start(folder: &Path) -> Option<Azurite> {
        let mut command = Command::new(parts::foreign("TRANSLOAD_AZURITE")?);
        // Port 0: the system chooses a free one, and the emulator says which. Without --disableTelemetry it reports to its makers.
        command.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--silent", "--disableTelemetry", "--location"]).arg(folder);
        let accounts = ACCOUNTS.map(|(account, key)| format!("{account}:{key}")).join(";");
        command.env("AZURITE_ACCOUNTS", accounts).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Azurite starts");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let url =
            said.by_ref().lines().map_while(Result::ok).find_map(|line| line.split_once("listens on ").map(|(_, url)| url.to_owned()));
        let azurite = Azurite { child, _said: said, url: url.unwrap_or_default().trim().to_owned() };
        assert!(!azurite.url.is_empty(), "Azurite ended before it said where it listens");
        ACCOUNTS.into_iter().for_each(|(account, key)| azurite.make_container(account, key));
        Some(azurite)
    }

    /// An agent whose store is this emulator.
    pub fn setup(&self, site: &Site, vms: &[&str]) -> Setup {
        Setup { sink: self.table("[sink]", "[[sink.endpoint]]", "store", site), ..site.setup(vms) }
    }

    /// An agent whose store is one of the accounts, at an address of the account's own, as Azure gives them: ACCOUNT, or ACCOUNT-secondary.
    /// `key`: of which account.
    pub fn setup_at(&self, site: &Site, account: usize, address: &str, key: usize) -> Setup {
        let key = secret_file(&site.folder().join(format!("azure-{key}.account-key")), ACCOUNTS[key].1);
        let (port, account) = (self.url.rsplit(':').next().expect("it has a port"), ACCOUNTS[account].0);
        let origin = format!("http://{account}{address}.blob.localhost:{port}");
        let sink = format!(
            "[sink]\nname = \"store\"\nplugin = \"storage-azure\"\nsecrets = {{ account-key = {key:?} }}\n\
             config = {{ endpoint = \"{origin}\", account = \"{account}\", container = \"{CONTAINER}\" }}\n\
             [[sink.endpoint]]\norigin = \"{origin}\"\naddress = \"127.0.0.1\"\nplaintext = true\n"
        );
        Setup { sink, ..site.setup(&[]).beside(&format!("{account}{address}-{}", key.file_stem().unwrap_or_default().display())) }
    }

    /// A table that names this emulator as a store.
    pub fn table(&self, table: &str, endpoint: &str, name: &str, site: &Site) -> String {
        let key = secret_file(&site.folder().join("azure.account-key"), ACCOUNTS[0].1);
        let (url, account) = (&self.url, ACCOUNTS[0].0);
        format!(
            "{table}\nname = \"{name}\"\nplugin = \"storage-azure\"\nsecrets = {{ account-key = {key:?} }}\n\
             config = {{ endpoint = \"{url}\", account = \"{account}\", container = \"{CONTAINER}\", prefix = \"site a\", addressing = \"path\" }}\n\
             {endpoint}\norigin = \"{url}\"\nplaintext = true\n"
        )
    }

    fn make_container(&self, account: &str, key: &str) {
        let answer = self.ask((account, key), "PUT", "restype=container", "restype:container");
        assert!(answer.starts_with("HTTP/1.1 201"), "the container is made: {answer}");
    }

    /// How many blobs have this in their names.
    pub fn count(&self, part: &str) -> usize {
        let answer = self.ask(ACCOUNTS[0], "GET", "restype=container&comp=list", "comp:list\nrestype:container");
        assert!(answer.starts_with("HTTP/1.1 200"), "the container is listed: {answer}");
        answer.split("<Name>").skip(1).filter(|rest| rest.split("</Name>").next().is_some_and(|name| name.contains(part))).count()
    }

    /// A request for the container, signed by hand: this is an opinion of its own. Azurite does not look at the date.
    fn ask(&self, (account, key): (&str, &str), method: &str, query: &str, parameters: &str) -> String {
        let (date, version) = ("Sun, 30 Aug 2015 12:36:00 GMT", "2021-12-02");
        let own = format!("x-ms-date:{date}\nx-ms-version:{version}");
        let to_sign = format!("{method}\n\n\n\n\n\n\n\n\n\n\n\n{own}\n/{account}/{account}/{CONTAINER}\n{parameters}");
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key).expect("it is base64")).expect("any length will do");
        mac.update(to_sign.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let authority = self.url.trim_start_matches("http://");
        let request = format!(
            "{method} /{account}/{CONTAINER}?{query} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\
             x-ms-date: {date}\r\nx-ms-version: {version}\r\nAuthorization: SharedKey {account}:{signature}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(authority).expect("it listens");
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).expect("it answers");
        answer
    }
}
