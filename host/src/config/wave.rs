//! The wave file: VMs that move together, and what each cutover plugin is to move with them.
//!
//! ```toml
//! wave = "shop"
//! [[vm]]
//! name = "web01"
//! source-addresses = ["192.0.2.10"]
//! target-addresses = ["198.51.100.10"]
//! [[cutover]]
//! name = "dns"                        # a [[cutover]] of the configuration
//! settings = { zone = "example.test" } # handed to the plugin as JSON
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::{ConfigError, strict};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wave {
    #[serde(rename = "wave")]
    pub name: String,
    #[serde(rename = "vm")]
    pub vms: Vec<WaveVm>,
    #[serde(default, rename = "cutover")]
    pub cutovers: Vec<WaveCutover>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaveVm {
    pub name: String,
    #[serde(default)]
    pub source_addresses: Vec<IpAddr>,
    #[serde(default)]
    pub target_addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WaveCutover {
    pub name: String,
    #[serde(default)]
    pub settings: toml::Table,
}

impl WaveCutover {
    /// As the plugin gets them.
    pub fn settings_json(&self) -> Result<String, String> {
        serde_json::to_string(&self.settings).map_err(|error| format!("the settings of cutover {} are no JSON: {error}", self.name))
    }
}

impl Wave {
    pub fn read(path: &Path) -> Result<Wave, ConfigError> {
        let failed = |wrong| ConfigError { file: Some(path.to_owned()), wrong };
        let text = std::fs::read_to_string(path).map_err(|error| failed(vec![format!("it cannot be read: {error}")]))?;
        Wave::parse(&text).map_err(failed)
    }

    pub fn parse(text: &str) -> Result<Wave, Vec<String>> {
        let wave: Wave = strict::parse(text)?;
        let mut wrong = Vec::new();
        if wave.name.trim().is_empty() {
            wrong.push("the wave has no name".to_owned());
        }
        let (mut vms, mut cutovers) = (BTreeSet::new(), BTreeSet::new());
        for vm in &wave.vms {
            if vm.name.trim().is_empty() {
                wrong.push("a VM has no name".to_owned());
            } else if !vms.insert(&vm.name) {
                wrong.push(format!("VM {:?} is listed twice", vm.name));
            }
        }
        for cutover in &wave.cutovers {
            if !cutovers.insert(&cutover.name) {
                wrong.push(format!("cutover {:?} is listed twice: give all that it moves in one table", cutover.name));
            }
        }
        match wrong.is_empty() {
            true => Ok(wave),
            false => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAVE: &str = r#"
wave = "shop"
[[vm]]
name = "web01"
source-addresses = ["192.0.2.10", "2001:db8::10"]
target-addresses = ["198.51.100.10"]
[[cutover]]
name = "dns"
settings = { zone = "example.test" }
"#;

    #[test]
    fn a_wave_names_vms_with_their_addresses_and_what_moves_with_them() {
        let wave = Wave::parse(WAVE).unwrap();
        assert_eq!(wave.vms[0].source_addresses[1].to_string(), "2001:db8::10");
        assert_eq!(wave.cutovers[0].settings_json().unwrap(), "{\"zone\":\"example.test\"}");
    }

    #[test]
    fn what_is_listed_twice_misspelt_or_no_address_is_said() {
        let wrong = |text: String| Wave::parse(&text).unwrap_err();
        assert_eq!(wrong(format!("{WAVE}[[vm]]\nname = \"web01\"\n")), ["VM \"web01\" is listed twice"]);
        assert_eq!(
            wrong(format!("{WAVE}[[cutover]]\nname = \"dns\"\n")),
            ["cutover \"dns\" is listed twice: give all that it moves in one table"]
        );
        assert_eq!(wrong(WAVE.replace("target-addresses", "target-adresses")), ["unknown key \"vm.0.target-adresses\""]);
        assert_eq!(wrong(WAVE.replace("\"198.51.100.10\"", "\"web01.example.test\"")), ["line 6: invalid IP address syntax"]);
    }
}
