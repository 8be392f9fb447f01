//! What an agent counted, in the text format of Prometheus (version 0.0.4), which its server reads and collectors of text files as well.
//!
//! Names are a promise: what docs/metrics.md lists keeps its name and its labels. A plugin is told apart by `name`, what the configuration calls it,
//! and `plugin`, its folder; what changes with a version stands in `transload_plugin_info` alone, so that a counter goes on.
//!
//! The page is written here and not by prometheus-client, which does not escape what stands in a label, and a grant's reason is a vendor's text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::status::{AgentStatus, PluginStatus};
use crate::model::Counted;

/// A counter of a plugin: its name between `transload_plugin_` and `_total`, and what it counts.
type PluginCounter = (&'static str, &'static str, fn(&Counted) -> u64);

const PLUGIN_COUNTERS: [PluginCounter; 6] = [
    ("calls", "Calls that the host made to the plugin.", |counted| counted.calls),
    ("faults", "Calls that the plugin itself answered with a fault.", |counted| counted.faults),
    ("traps", "Calls that ended an instance: a panic, too much memory.", |counted| counted.traps),
    ("time_outs", "Calls that took longer than they may.", |counted| counted.time_outs),
    ("spliced_bytes", "What the host moved for the plugin.", |counted| counted.spliced),
    ("peeked_bytes", "Plaintext that the plugin saw, of what was moved.", |counted| counted.peeked),
];

/// One page.
pub fn text(status: &AgentStatus) -> String {
    let mut page = Page::default();
    agent(&mut page, status);
    plugins(&mut page, &status.plugins);
    page.0
}

fn agent(page: &mut Page, status: &AgentStatus) {
    page.family("agent_info", "gauge", "The agent that answers.");
    page.sample("agent_info", &[("version", &status.version), ("role", &status.role)], 1);
    page.family("memory_bytes", "gauge", "Resident memory of the agent.");
    page.sample("memory_bytes", &[], status.memory_kib * 1024);
    page.family("memory_peak_bytes", "gauge", "The most that it was so far.");
    page.sample("memory_peak_bytes", &[], status.memory_peak_kib * 1024);
}

fn plugins(page: &mut Page, plugins: &[PluginStatus]) {
    page.family("plugin_info", "gauge", "The version that runs, none while it waits, and the vendor's key that is pinned.");
    for plugin in plugins {
        let (version, key) = (plugin.version.as_deref().unwrap_or_default(), plugin.key.as_deref().unwrap_or_default());
        let [name, folder] = labels(plugin);
        page.sample("plugin_info", &[name, folder, ("version", version), ("key", key)], 1);
    }
    page.family("plugin_grant", "gauge", "What the plugin may reach, as it was approved: a series for each, always 1.");
    for plugin in plugins {
        let [name, folder] = labels(plugin);
        // Two wishes may read the same, and no series may come twice.
        let grants: BTreeSet<&str> = plugin.grants.iter().map(String::as_str).collect();
        grants.into_iter().for_each(|grant| page.sample("plugin_grant", &[name, folder, ("grant", grant)], 1));
    }
    for (name, help, count) in &PLUGIN_COUNTERS {
        let name = format!("plugin_{name}_total");
        page.family(&name, "counter", help);
        plugins.iter().for_each(|plugin| page.sample(&name, &labels(plugin), count(&plugin.counted)));
    }
    page.family("plugin_memory_peak_bytes", "gauge", "Linear memory of the plugin's largest instance.");
    plugins.iter().for_each(|plugin| page.sample("plugin_memory_peak_bytes", &labels(plugin), plugin.counted.memory_peak));
}

fn labels(plugin: &PluginStatus) -> [(&'static str, &str); 2] {
    [("name", &plugin.name), ("plugin", &plugin.plugin)]
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP transload_{name} {help}"));
        self.line(format_args!("# TYPE transload_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        match labels.is_empty() {
            true => self.line(format_args!("transload_{name} {value}")),
            false => self.line(format_args!("transload_{name}{{{}}} {value}", labels.join(","))),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.0, "{line}").expect("a string takes everything that is written into it");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            plugin: "storage-s3".to_owned(),
            version: Some("0.1.0".to_owned()),
            key: Some("RWQf6LRC".to_owned()),
            // One of them asked for twice.
            grants: vec!["send GET to https://s3.example.test, below / (\"reads\"\nobjects)".to_owned(); 2],
            counted: Counted { calls: 12, faults: 3, traps: 1, time_outs: 2, memory_peak: 65536, spliced: 4096, peeked: 512 },
            refused: None,
        }
    }

    fn status() -> AgentStatus {
        let waits = PluginStatus { version: None, key: None, grants: Vec::new(), counted: Counted::default(), ..plugin("esx") };
        AgentStatus {
            version: "0.1.0".to_owned(),
            role: "both".to_owned(),
            store: "store".to_owned(),
            memory_kib: 2,
            memory_peak_kib: 3,
            stores: Vec::new(),
            pace: None,
            vms: Vec::new(),
            missing: Vec::new(),
            plugins: vec![plugin("store"), waits],
            tracking: Vec::new(),
        }
    }

    /// The names are a promise, so the page is compared as a whole.
    #[test]
    fn the_page_is_what_is_documented() {
        let expected = r##"# HELP transload_agent_info The agent that answers.
# TYPE transload_agent_info gauge
transload_agent_info{version="0.1.0",role="both"} 1
# HELP transload_memory_bytes Resident memory of the agent.
# TYPE transload_memory_bytes gauge
transload_memory_bytes 2048
# HELP transload_memory_peak_bytes The most that it was so far.
# TYPE transload_memory_peak_bytes gauge
transload_memory_peak_bytes 3072
# HELP transload_plugin_info The version that runs, none while it waits, and the vendor's key that is pinned.
# TYPE transload_plugin_info gauge
transload_plugin_info{name="store",plugin="storage-s3",version="0.1.0",key="RWQf6LRC"} 1
transload_plugin_info{name="esx",plugin="storage-s3",version="",key=""} 1
# HELP transload_plugin_grant What the plugin may reach, as it was approved: a series for each, always 1.
# TYPE transload_plugin_grant gauge
transload_plugin_grant{name="store",plugin="storage-s3",grant="send GET to https://s3.example.test, below / (\"reads\"\nobjects)"} 1
# HELP transload_plugin_calls_total Calls that the host made to the plugin.
# TYPE transload_plugin_calls_total counter
transload_plugin_calls_total{name="store",plugin="storage-s3"} 12
transload_plugin_calls_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_faults_total Calls that the plugin itself answered with a fault.
# TYPE transload_plugin_faults_total counter
transload_plugin_faults_total{name="store",plugin="storage-s3"} 3
transload_plugin_faults_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_traps_total Calls that ended an instance: a panic, too much memory.
# TYPE transload_plugin_traps_total counter
transload_plugin_traps_total{name="store",plugin="storage-s3"} 1
transload_plugin_traps_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_time_outs_total Calls that took longer than they may.
# TYPE transload_plugin_time_outs_total counter
transload_plugin_time_outs_total{name="store",plugin="storage-s3"} 2
transload_plugin_time_outs_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_spliced_bytes_total What the host moved for the plugin.
# TYPE transload_plugin_spliced_bytes_total counter
transload_plugin_spliced_bytes_total{name="store",plugin="storage-s3"} 4096
transload_plugin_spliced_bytes_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_peeked_bytes_total Plaintext that the plugin saw, of what was moved.
# TYPE transload_plugin_peeked_bytes_total counter
transload_plugin_peeked_bytes_total{name="store",plugin="storage-s3"} 512
transload_plugin_peeked_bytes_total{name="esx",plugin="storage-s3"} 0
# HELP transload_plugin_memory_peak_bytes Linear memory of the plugin's largest instance.
# TYPE transload_plugin_memory_peak_bytes gauge
transload_plugin_memory_peak_bytes{name="store",plugin="storage-s3"} 65536
transload_plugin_memory_peak_bytes{name="esx",plugin="storage-s3"} 0
"##;
        assert_eq!(text(&status()), expected);
    }
}
