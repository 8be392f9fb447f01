//! Names of files on datastores, and the /folder URLs that vCenter serves them under.

use transload_guest::percent::{Slash, encode};

/// "[datastore1] vm/vm.vmdk".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastorePath {
    pub datastore: String,
    /// Relative to the datastore, with '/'.
    pub path: String,
}

impl DatastorePath {
    pub fn parse(text: &str) -> Option<DatastorePath> {
        let (datastore, path) = text.strip_prefix('[')?.split_once(']')?;
        let path = path.trim_start();
        // A URL's reader resolves these, and would leave the folder.
        let climbs = path.split('/').any(|segment| matches!(segment, "." | ".."));
        (!datastore.is_empty() && !path.is_empty() && !climbs)
            .then(|| DatastorePath { datastore: datastore.to_owned(), path: path.to_owned() })
    }

    /// A file beside this one.
    pub fn sibling(&self, name: &str) -> DatastorePath {
        let folder = self.path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        DatastorePath { datastore: self.datastore.clone(), path: format!("{folder}{name}") }
    }

    /// `datacenter` is the path of the datacenter in the inventory, such as "Europe/DC1".
    ///
    /// vCenter decodes the two parameters twice, so they are encoded twice; for a plain name both times change nothing.
    pub fn url(&self, origin: &str, datacenter: &str) -> String {
        let twice = |text: &str| encode(&encode(text, Slash::Keep), Slash::Keep);
        let path = encode(&self.path, Slash::Keep);
        format!("{origin}/folder/{path}?dcPath={}&dsName={}", twice(datacenter), twice(&self.datastore))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_plain() {
        let path = DatastorePath::parse("[datastore1] web/web-flat.vmdk").unwrap();
        assert_eq!(path.url("https://vc.test", "DC1"), "https://vc.test/folder/web/web-flat.vmdk?dcPath=DC1&dsName=datastore1");
    }

    #[test]
    fn the_parameters_are_encoded_twice_and_the_path_once() {
        let path = DatastorePath::parse("[My DS+é] my vm/a&b.vmdk").unwrap();
        assert_eq!(
            path.url("https://vc.test", "Nord Amerika/DC %2f1"),
            "https://vc.test/folder/my%20vm/a%26b.vmdk?dcPath=Nord%2520Amerika/DC%2520%25252f1&dsName=My%2520DS%252B%25C3%25A9"
        );
    }

    #[test]
    fn siblings_stay_in_their_folder_and_half_a_path_is_none() {
        assert_eq!(DatastorePath::parse("[ds] a/b/c.vmdk").unwrap().sibling("c-flat.vmdk").path, "a/b/c-flat.vmdk");
        assert_eq!(DatastorePath::parse("[ds] c.vmdk").unwrap().sibling("d").path, "d");
        for bad in ["", "ds/a", "[ds]", "[] a", "[ds a", "[ds] ../sdk", "[ds] a/./b.vmdk"] {
            assert_eq!(DatastorePath::parse(bad), None, "{bad}");
        }
    }
}
