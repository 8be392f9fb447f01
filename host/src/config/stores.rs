//! `[[store]]`: further stores that take segments off the home store, `[sink]`; how much of them each takes, and which VM may use which.

use std::collections::BTreeSet;

use super::{ConfigText, PluginConfig, VmConfig};

/// Each is looked at for every segment, and one that is away holds its VMs up: more than these need another design.
const FURTHER_MAX: usize = 16;

/// How much a store takes, measured by the others: one of weight 3 takes three times as much as one of weight 1, as long as it is as fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub u16);

impl Weight {
    /// Stores of which nothing is said take the same.
    const DEFAULT: Weight = Weight(1);
    const MAX: u16 = 100;
}

#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub plugin: PluginConfig,
    pub weight: Weight,
}

/// The home store's weight, and those of the further ones in their order.
pub(super) fn weights(text: &ConfigText, wrong: &mut Vec<String>) -> (Weight, Vec<Weight>) {
    let mut weight = |table: &str, weight: Option<u16>| match weight {
        None => Weight::DEFAULT,
        Some(weight @ 1..=Weight::MAX) => Weight(weight),
        Some(other) => {
            wrong.push(format!("[{table}] weight is {other}: it must be between 1 and {}", Weight::MAX));
            Weight::DEFAULT
        }
    };
    let home = weight("sink", text.sink.as_ref().and_then(|sink| sink.weight));
    let further = text.store.iter().map(|store| weight("store", store.weight)).collect();
    for (table, plugins) in [("source", &text.source), ("cutover", &text.cutover)] {
        if plugins.iter().any(|plugin| plugin.weight.is_some()) {
            wrong.push(format!("[[{table}]] has a weight: only [sink] and [[store]] have one"));
        }
    }
    if text.store.len() > FURTHER_MAX {
        wrong.push(format!("there are {} [[store]] tables: {FURTHER_MAX} are the most", text.store.len()));
    }
    (home, further)
}

/// A VM's stores are some of those that there are, and at least one.
pub(super) fn check_chosen(vms: &[VmConfig], home: Option<&PluginConfig>, stores: &[StoreConfig], wrong: &mut Vec<String>) {
    let known: BTreeSet<&str> =
        home.into_iter().chain(stores.iter().map(|store| &store.plugin)).map(|plugin| plugin.name.as_str()).collect();
    for vm in vms {
        let Some(chosen) = &vm.stores else { continue };
        if chosen.is_empty() {
            wrong.push(format!("VM {:?} has stores = []: name at least one, or leave it out", vm.name));
        }
        for store in chosen.iter().filter(|store| !known.contains(store.as_str())) {
            wrong.push(format!("VM {:?} may use the store {store:?}, but there is no such store", vm.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    use super::*;

    const HEAD: &str = "key.file = \"k\"\nreceiver.replicas = \"r\"\n[[source]]\nplugin = \"vmware-cbt\"\n";

    fn parsed(rest: &str) -> Result<Config, Vec<String>> {
        Config::parse(&format!("{HEAD}{rest}"), Path::new("/")).map_err(|error| error.wrong)
    }

    #[test]
    fn further_stores_have_weights_and_a_vm_may_use_some_of_them() {
        let config = parsed(
            "[sink]\nname = \"home\"\nplugin = \"storage-s3\"\nweight = 2\n\
             [[store]]\nname = \"second\"\nplugin = \"storage-s3\"\nweight = 3\n\
             [[store]]\nname = \"third\"\nplugin = \"storage-azure\"\n\
             [[vm]]\nname = \"db01\"\nstores = [\"second\", \"home\"]\n[[vm]]\nname = \"web01\"\n",
        );
        let config = config.unwrap();
        assert_eq!(config.home_weight, Weight(2));
        let stores: Vec<(&str, u16)> = config.stores.iter().map(|store| (store.plugin.name.as_str(), store.weight.0)).collect();
        assert_eq!(stores, [("second", 3), ("third", 1)]);
        assert_eq!(config.vms[0].stores, Some(vec!["second".to_owned(), "home".to_owned()]));
        assert_eq!(config.vms[1].stores, None);
        assert_eq!(config.used_plugins().count(), 4, "each is a plugin of its own: approved, checked, shown");
    }

    #[test]
    fn what_cannot_be_is_said_all_at_once() {
        let wrong = parsed(
            "weight = 2\n[sink]\nname = \"home\"\nplugin = \"storage-s3\"\n\
             [[store]]\nname = \"home\"\nplugin = \"storage-s3\"\nweight = 0\n\
             [[vm]]\nname = \"db01\"\nstores = [\"nowhere\"]\n[[vm]]\nname = \"web01\"\nstores = []\n",
        );
        assert_eq!(
            wrong.unwrap_err(),
            [
                "[store] weight is 0: it must be between 1 and 100",
                "[[source]] has a weight: only [sink] and [[store]] have one",
                "two stores are named \"home\": give each a name of its own",
                "VM \"db01\" may use the store \"nowhere\", but there is no such store",
                "VM \"web01\" has stores = []: name at least one, or leave it out",
            ]
        );
    }

    /// As it stands in the example, behind its comment signs.
    #[test]
    fn the_store_in_the_example_is_one() {
        let lines = Config::commented_example().lines().skip_while(|line| *line != "# [[store]]").take_while(|line| !line.is_empty());
        let table: String = lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        let config = parsed(&format!("[sink]\nplugin = \"storage-s3\"\n{table}")).unwrap();
        assert_eq!((config.stores.len(), config.stores[0].weight), (1, Weight(2)));
    }
}
