//! What a manifest asks for, in words for the person who decides about it.

use super::manifest::{FolderWish, HttpWish, Limits, Manifest, NetfilterWish, Protocol, SecretWish, StreamWish};

/// One sentence for each thing that the plugin would reach or use, with the vendor's reason.
pub fn asks(manifest: &Manifest) -> Vec<String> {
    let http = manifest.http.iter().map(|wish| format!("{} ({})", http(wish), wish.reason));
    let secrets = manifest.secrets.iter().map(|wish| format!("{} ({})", secret(wish), wish.reason));
    let streams = manifest.streams.iter().map(|wish| format!("{} ({})", stream(wish), wish.reason));
    let folders = manifest.folders.iter().map(|wish| format!("{} ({})", folder(wish), wish.reason));
    let table = manifest.netfilter.iter().map(|wish| format!("{} ({})", netfilter(wish), wish.reason));
    http.chain(secrets).chain(streams).chain(folders).chain(table).chain([limits(&manifest.limits)]).collect()
}

pub fn http(wish: &HttpWish) -> String {
    let methods = list(wish.methods.iter().map(|method| method.to_ascii_uppercase()));
    let below = list(wish.paths.iter().cloned());
    let mut sentence = format!("send {methods} to {}, below {below}", origin(&wish.origin));
    for (setting, value) in &wish.when {
        sentence.push_str(&format!(", when {setting} is {value:?}"));
    }
    sentence
}

pub fn secret(wish: &SecretWish) -> String {
    let mut uses = Vec::new();
    if !wish.origins.is_empty() {
        uses.push(format!("send the secret {:?} to {}", wish.name, list(wish.origins.iter().map(|each| origin(each)))));
    }
    if let Some(chain) = &wish.sign_chain {
        let prefix = if chain.prefix.is_empty() { String::new() } else { format!(" that begin with {:?}", chain.prefix) };
        uses.push(format!(
            "have the secret {:?} sign, in chains of at least {} steps{prefix}, without seeing it",
            wish.name, chain.steps_min
        ));
    }
    match uses.is_empty() {
        true => format!("know that the secret {:?} exists", wish.name),
        false => list(uses.into_iter()),
    }
}

pub fn stream(wish: &StreamWish) -> String {
    let setting = &wish.endpoint.setting;
    let place = match (wish.protocol, wish.endpoint.port()) {
        (Protocol::Unix, _) => {
            return format!("connect to the unix socket in the setting {setting}, and do there what this agent's user may");
        }
        (_, Some(port)) => format!("port {port} of the host in the setting {setting}"),
        (_, None) => format!("the host and port in the setting {setting}"),
    };
    match wish.protocol {
        Protocol::Tls => format!("connect to {place} by TLS, and say there what it likes"),
        _ => format!("connect to {place} without TLS, and say there what it likes"),
    }
}

pub fn folder(wish: &FolderWish) -> String {
    format!("read every file below the folder in the setting {}", wish.path.setting)
}

/// A table of one's own is no cage: what hangs in it sees the packets of the whole machine.
pub fn netfilter(wish: &NetfilterWish) -> String {
    let table = wish.table.to_string().replace("{config.", "{");
    format!(
        "fill the nftables table {table} of this machine, and with it drop, redirect, rewrite and count every packet that enters, leaves or \
         passes this machine, this agent's own and yours included; the rules stay when the agent ends"
    )
}

pub fn limits(limits: &Limits) -> String {
    let Limits { memory, call, instances, response, peek } = limits;
    format!(
        "use {memory} of memory in each of {} instances and {call} for a call, receive {response} in a response, and look at {peek} of a disk in a call",
        2 * instances
    )
}

/// Which address that is, the operator says in the configuration.
fn origin(template: &str) -> String {
    match template.strip_prefix("{config.").and_then(|rest| rest.strip_suffix('}')) {
        Some(setting) if !setting.contains(['{', '.']) => format!("the address in the setting {setting}"),
        _ => template.replace("{config.", "{"),
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_what_the_s3_plugin_would_reach() {
        let manifest = Manifest::parse(include_str!("../../../plugins/storage-s3/manifest.toml")).unwrap();
        assert_eq!(
            asks(&manifest),
            [
                "send GET, HEAD, PUT and POST to the address in the setting endpoint, below / (objects of the replication log, addressed by path)",
                "send GET, HEAD, PUT and POST to {endpoint.scheme}://{bucket}.{endpoint.authority}, below /, when addressing is \"virtual-host\" \
                 (objects of the replication log, addressed by the bucket's own host name)",
                "have the secret \"secret-key\" sign, in chains of at least 5 steps that begin with \"AWS4\", without seeing it (signs each request; \
                 five steps, so that no key which is good for a second request reaches the plugin)",
                "use 64 MiB of memory in each of 32 instances and 1 min for a call, receive 8 MiB in a response, and look at 0 B of a disk in a call",
            ]
        );
    }

    #[test]
    fn an_operator_reads_what_a_connection_a_folder_and_a_table_come_to() {
        let head =
            |kind| format!("name = \"x\"\nkind = \"{kind}\"\nversion = \"1\"\nwit = \"0.1.0\"\ncomponent = \"x.wasm\"\nsha256 = \"\"\n");
        let stream = |name, protocol, endpoint| {
            format!("[[stream]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nendpoint = \"{endpoint}\"\nreason = \"r\"\n")
        };
        let cutover = [
            head("cutover"),
            stream("a", "tls", "{config.server}:853"),
            stream("b", "tcp", "{config.server}"),
            stream("c", "unix", "{config.socket}"),
            "[netfilter]\ntable = \"transload_{config.table}\"\nreason = \"r\"\n".to_owned(),
        ];
        let said = asks(&Manifest::parse(&cutover.concat()).unwrap());
        assert_eq!(
            said[..4],
            [
                "connect to port 853 of the host in the setting server by TLS, and say there what it likes (r)",
                "connect to the host and port in the setting server without TLS, and say there what it likes (r)",
                "connect to the unix socket in the setting socket, and do there what this agent's user may (r)",
                "fill the nftables table transload_{table} of this machine, and with it drop, redirect, rewrite and count every packet that enters, \
                 leaves or passes this machine, this agent's own and yours included; the rules stay when the agent ends (r)",
            ]
        );
        let folder = "[[folder]]\nname = \"exports\"\npath = \"{config.exports}\"\nreason = \"r\"\n";
        let said = asks(&Manifest::parse(&format!("{}{folder}", head("source"))).unwrap());
        assert_eq!(said[0], "read every file below the folder in the setting exports (r)");
    }
}
