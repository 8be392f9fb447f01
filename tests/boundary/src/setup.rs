//! Plugin folders made of the test guests, and configurations that name them: everything by the way that real ones go.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use transload::clock::SystemClock;
use transload::config::Config;
use transload::wasm::{Approvals, CodeCache, PluginCutover, PluginHost, PluginRefused, PluginSink, PluginSource};

use crate::beside::Beside;
use crate::server::Server;

pub const PASSWORD: &str = "hunter2 & <co>";
pub const SIGNING_KEY: &str = "sesame-open-now";

const SOURCE: &str = r#"
name = "echo-source"
kind = "source"
version = "0.1.0"
wit = "0.1.0"
component = "echo.wasm"
[[http]]
origin = "{config.url}"
methods = ["GET", "POST"]
paths = ["/disk", "/whole", "/other-range", "/cut", "/more", "/fewer", "/expired", "/gone", "/busy", "/moved", "/never", "/drip", "/late", "/long", "/login", "/headers", "/o"]
reason = "disks"
[[folder]]
name = "exports"
path = "{config.exports}"
reason = "exported disks"
[[secret]]
name = "password"
origins = ["{config.url}"]
reason = "logs in"
[limits]
call = "20 s"
memory = "16 MiB"
instances = 2
peek = "100 KiB"
"#;

const SINK: &str = r#"
name = "echo-sink"
kind = "sink"
version = "0.1.0"
wit = "0.1.0"
component = "echo.wasm"
[[http]]
origin = "{config.url}"
methods = ["GET", "HEAD", "PUT", "DELETE"]
paths = ["/o"]
reason = "objects"
[[secret]]
name = "key"
sign-chain = { steps-min = 2, prefix = "ECHO" }
reason = "signs"
"#;

const CUTOVER: &str = r#"
name = "echo-cutover"
kind = "cutover"
version = "0.1.0"
wit = "0.1.0"
component = "echo.wasm"
[[http]]
origin = "{config.url}"
methods = ["GET", "PUT"]
paths = ["/names"]
reason = "names"
[[stream]]
name = "line"
protocol = "tcp"
endpoint = "{config.line}"
reason = "orders"
[netfilter]
table = "transload_{config.table}"
reason = "addresses"
[limits]
call = "2 s"
instances = 2
"#;

/// A server, three plugin folders, and the secrets that belong to them.
pub struct World {
    pub server: Server,
    pub folder: tempfile::TempDir,
    /// Somebody to connect to. Nobody ever answers there.
    pub line: TcpListener,
    beside: Arc<Beside>,
}

/// Whatever happened here, the VM beside it was not disturbed.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.beside.goes_on();
        }
    }
}

impl World {
    pub async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path()).await;
        World::with(folder, server)
    }

    /// The same without TLS.
    pub async fn start_plain() -> World {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_plain(folder.path()).await;
        World::with(folder, server)
    }

    fn with(folder: tempfile::TempDir, server: Server) -> World {
        let world = World { server, folder, line: TcpListener::bind("127.0.0.1:0").unwrap(), beside: Beside::running() };
        std::fs::create_dir(world.exports()).unwrap();
        world.install("echo-source", SOURCE, guest("guest_source"));
        world.install("echo-sink", SINK, guest("guest_sink"));
        world.install("echo-cutover", CUTOVER, guest("guest_cutover"));
        world.secret("password", PASSWORD);
        world.secret("key", SIGNING_KEY);
        world
    }

    /// Writes a plugin folder with the digest of its component in the manifest.
    pub fn install(&self, name: &str, manifest: &str, component: &[u8]) {
        let folder = self.folder.path().join("plugins").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let sha256: String = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.join("manifest.toml"), format!("sha256 = \"{sha256}\"\n{manifest}")).unwrap();
        std::fs::write(folder.join("echo.wasm"), component).unwrap();
    }

    pub fn reinstall_source(&self, old: &str, new: &str) {
        assert!(SOURCE.contains(old));
        self.install("echo-source", &SOURCE.replace(old, new), guest("guest_source"));
    }

    /// With these limits instead of the usual ones.
    pub fn reinstall_sink(&self, limits: &str) {
        self.install("echo-sink", &format!("{SINK}[limits]\n{limits}\n"), guest("guest_sink"));
    }

    /// The same component as another version of the plugin.
    pub fn reinstall_sink_as(&self, version: &str) {
        self.install("echo-sink", &SINK.replace("0.1.0\"\nwit", &format!("{version}\"\nwit")), guest("guest_sink"));
    }

    /// Another component in the source's place, under a manifest with nothing wrong in it.
    pub fn replace_source(&self, component: &[u8]) {
        self.install("echo-source", SOURCE, component);
    }

    pub fn source_folder(&self) -> PathBuf {
        self.folder.path().join("plugins").join("echo-source")
    }

    /// The folder that is granted to the source.
    pub fn exports(&self) -> PathBuf {
        self.folder.path().join("exports")
    }

    pub fn secret(&self, name: &str, value: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, value).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.server.scheme, self.server.address.port())
    }

    /// How an endpoint usually is in these tests: the CA file, and the address, because `localhost` may also be an IPv6 one.
    pub fn usual_endpoint(&self) -> String {
        format!("trust = {{ ca-file = \"{}\" }}\naddress = \"127.0.0.1\"\nread-timeout = \"60 s\"", self.server.ca_file.display())
    }

    pub fn config(&self, endpoint: &str) -> Config {
        let (url, plugins) = (self.url(), self.folder.path().join("plugins").display().to_string());
        let line = self.line.local_addr().unwrap();
        let exports = self.exports().display().to_string();
        let text = format!(
            r#"
plugins = "{plugins}"
[key]
file = "store.key"
[[source]]
name = "src"
plugin = "echo-source"
secrets = {{ password = "password" }}
config = {{ url = "{url}", exports = "{exports}" }}
[[source.endpoint]]
origin = "{url}"
{endpoint}
[sink]
name = "store"
plugin = "echo-sink"
secrets = {{ key = "key" }}
config = {{ url = "{url}" }}
[[sink.endpoint]]
origin = "{url}"
{endpoint}
[[cutover]]
name = "names"
plugin = "echo-cutover"
config = {{ url = "{url}", line = "{line}", table = "names" }}
[[cutover.endpoint]]
origin = "{url}"
{endpoint}
[receiver]
replicas = "replicas"
"#
        );
        Config::parse(&text, self.folder.path()).unwrap()
    }

    /// The same, where silence is what is waited for.
    pub fn hasty_endpoint(&self) -> String {
        self.usual_endpoint().replace("60 s", "500 ms")
    }

    /// From now on calls end so early that a test can wait for it.
    pub fn hurry_source(&self) {
        self.reinstall_source("call = \"20 s\"", "call = \"1 s\"");
    }

    pub async fn source(&self) -> PluginSource {
        self.try_source(&self.usual_endpoint()).await.unwrap()
    }

    pub async fn try_source(&self, endpoint: &str) -> Result<PluginSource, PluginRefused> {
        plugin_host().source(&self.config(endpoint).sources[0]).await
    }

    /// A source whose settings tell it to misbehave.
    pub async fn source_that(&self, misdeed: &str) -> PluginSource {
        let mut config = self.config(&self.usual_endpoint());
        config.sources[0].config.insert("misdeed".to_owned(), misdeed.into());
        plugin_host().source(&config.sources[0]).await.unwrap()
    }

    /// Two sources of one plugin, and a sink, in one host, as an agent has them.
    pub async fn neighbours(&self) -> (PluginSource, PluginSource, PluginSink) {
        let (mut config, host) = (self.config(&self.usual_endpoint()), plugin_host());
        let first = host.source(&config.sources[0]).await.unwrap();
        config.sources[0].name = "other".to_owned();
        (first, host.source(&config.sources[0]).await.unwrap(), host.sink(&config.sink).await.unwrap())
    }

    pub async fn try_source_without_endpoint(&self) -> Result<PluginSource, PluginRefused> {
        let mut config = self.config("plaintext = true");
        config.sources[0].endpoints.clear();
        plugin_host().source(&config.sources[0]).await
    }

    pub async fn sink(&self) -> PluginSink {
        plugin_host().sink(&self.config(&self.usual_endpoint()).sink).await.unwrap()
    }

    /// `misdeed` may be empty: then it does all of it right.
    pub async fn cutover_that(&self, misdeed: &str) -> PluginCutover {
        let mut config = self.config(&self.usual_endpoint());
        config.cutovers[0].config.insert("misdeed".to_owned(), misdeed.into());
        plugin_host().cutover(&config.cutovers[0]).await.unwrap()
    }

    pub async fn sink_that(&self, misdeed: &str) -> PluginSink {
        let mut config = self.config(&self.usual_endpoint());
        config.sink.config.insert("misdeed".to_owned(), misdeed.into());
        plugin_host().sink(&config.sink).await.unwrap()
    }
}

/// One for the whole program, as an agent has it.
pub fn plugin_host() -> Arc<PluginHost> {
    static HOST: OnceLock<Arc<PluginHost>> = OnceLock::new();
    HOST.get_or_init(|| Arc::new(plugin_host_of_its_own())).clone()
}

pub fn plugin_host_of_its_own() -> PluginHost {
    PluginHost::new(Arc::new(SystemClock::new()), CodeCache::none(), Approvals::of_everything()).unwrap()
}

/// The test guests, built once by the cargo that runs the tests.
pub fn guest(name: &str) -> &'static [u8] {
    static GUESTS: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    GUESTS.get_or_init(build)[name].as_slice()
}

fn build() -> BTreeMap<String, Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let built = Command::new(cargo)
        .args([
            "build",
            "-p",
            "guest-source",
            "-p",
            "guest-sink",
            "-p",
            "guest-cutover",
            "--target",
            "wasm32-wasip2",
            "--profile",
            "component",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "the test guests do not build; is the target there? (rustup target add wasm32-wasip2)");
    let mut guests = BTreeMap::new();
    for line in String::from_utf8(built.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        for file in message["filenames"].as_array().into_iter().flatten().filter_map(|file| file.as_str()) {
            let path = PathBuf::from(file);
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                guests.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    guests
}
