//! The plugins that a configuration names: all that is needed to decide about them and to try them, and less than an agent needs to run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::plugin::PluginText;
use super::stores::{self, StoreConfig, Weight};
use super::{Config, ConfigError, ConfigText, PluginConfig, Role, strict};

#[derive(Debug, Clone)]
pub struct ConfiguredPlugins {
    pub state: PathBuf,
    /// One folder a plugin.
    pub folder: PathBuf,
    pub role: Role,
    pub sources: Vec<PluginConfig>,
    pub sink: Option<PluginConfig>,
    pub home_weight: Weight,
    /// Further stores.
    pub stores: Vec<StoreConfig>,
    pub cutovers: Vec<PluginConfig>,
}

impl ConfiguredPlugins {
    /// Reads the whole file as strictly as an agent does, and demands nothing of it that plugins do not need. Secrets stay closed.
    pub fn read(path: &Path) -> Result<ConfiguredPlugins, ConfigError> {
        let failed = |wrong| ConfigError { file: Some(path.to_owned()), wrong };
        let text = std::fs::read_to_string(path).map_err(|error| failed(vec![format!("it cannot be read: {error}")]))?;
        let mut text: ConfigText = strict::parse(&text).map_err(failed)?;
        let mut wrong = Vec::new();
        let plugins = ConfiguredPlugins::of(&mut text, path.parent().unwrap_or(Path::new(".")), &mut wrong);
        match wrong.is_empty() {
            true => Ok(plugins),
            false => Err(failed(wrong)),
        }
    }

    pub(super) fn of(text: &mut ConfigText, folder: &Path, wrong: &mut Vec<String>) -> ConfiguredPlugins {
        let plugins = folder.join(&text.plugins);
        let (home_weight, weights) = stores::weights(text, wrong);
        let mut checked = |kind: &str, texts: Vec<PluginText>| -> Vec<PluginConfig> {
            let checked = texts.into_iter().map(|text| text.check(kind, folder, &plugins));
            checked.filter_map(|plugin| plugin.map_err(|all| wrong.extend(all)).ok()).collect()
        };
        let sources = checked("source", std::mem::take(&mut text.source));
        let sink = checked("sink", text.sink.take().into_iter().collect()).pop();
        let further = checked("store", std::mem::take(&mut text.store));
        let cutovers = checked("cutover", std::mem::take(&mut text.cutover));
        let all_stores = sink.iter().chain(&further).collect();
        for (kind, plugins) in
            [("sources", sources.iter().collect()), ("stores", all_stores), ("cutovers", cutovers.iter().collect::<Vec<_>>())]
        {
            let mut names = BTreeSet::new();
            for plugin in plugins {
                if !names.insert(&plugin.name) {
                    wrong.push(format!("two {kind} are named {:?}: give each a name of its own", plugin.name));
                }
            }
        }
        let stores = further.into_iter().zip(weights).map(|(plugin, weight)| StoreConfig { plugin, weight }).collect();
        ConfiguredPlugins {
            state: folder.join(&text.state),
            folder: plugins,
            role: text.role,
            sources,
            sink,
            home_weight,
            stores,
            cutovers,
        }
    }

    /// What runs here: a receiver apart reads from no source.
    pub fn used(&self) -> impl Iterator<Item = &PluginConfig> {
        used(self.role, &self.sources, self.sink.as_ref(), &self.stores, &self.cutovers)
    }
}

impl Config {
    /// What runs here: a receiver apart reads from no source.
    pub fn used_plugins(&self) -> impl Iterator<Item = &PluginConfig> {
        used(self.role, &self.sources, Some(&self.sink), &self.stores, &self.cutovers)
    }
}

fn used<'a>(
    role: Role,
    sources: &'a [PluginConfig],
    sink: Option<&'a PluginConfig>,
    stores: &'a [StoreConfig],
    cutovers: &'a [PluginConfig],
) -> impl Iterator<Item = &'a PluginConfig> {
    let sources = if role.sends() { sources } else { &[] };
    sources.iter().chain(sink).chain(stores.iter().map(|store| &store.plugin)).chain(cutovers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_one_plugin_is_enough_to_decide_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transload.toml");
        std::fs::write(&path, "state = \"state\"\nplugins = \"dist\"\n[[cutover]]\nplugin = \"my-dns\"\n").unwrap();
        let plugins = ConfiguredPlugins::read(&path).unwrap();
        assert_eq!(plugins.used().map(PluginConfig::folder_name).collect::<Vec<_>>(), ["my-dns"]);
        assert_eq!(plugins.state, folder.path().join("state"));
        std::fs::write(&path, "plugins = \"dist\"\n[[cutover]]\nplugin = \"my-dns\"\nfor = \"ever\"\n").unwrap();
        assert_eq!(ConfiguredPlugins::read(&path).unwrap_err().wrong, ["unknown key \"cutover.0.for\""]);
    }
}
