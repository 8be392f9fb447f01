//! What a manifest asks for, in words for the person who decides about it.

use super::manifest::{HttpWish, Limits, Manifest, SecretWish};

/// One sentence for each thing that the plugin would reach or use, with the vendor's reason.
pub fn asks(manifest: &Manifest) -> Vec<String> {
    let http = manifest.http.iter().map(|wish| format!("{} ({})", http(wish), wish.reason));
    let secrets = manifest.secrets.iter().map(|wish| format!("{} ({})", secret(wish), wish.reason));
    http.chain(secrets).chain([limits(&manifest.limits)]).collect()
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
}
