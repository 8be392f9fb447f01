//! A plugin's manifest that is read asks for nothing outside its folder and for no request without a reason.

use transload::wasm::Manifest;

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused };
    let manifest = Manifest::parse(text);
    match &manifest {
        Ok(manifest) => {
            assert!(!manifest.component.contains('/') && !manifest.component.starts_with('.'), "{:?}", manifest.component);
            assert!(manifest.http.iter().all(|wish| !wish.reason.trim().is_empty() && !wish.methods.is_empty()));
            assert!(manifest.http.iter().flat_map(|wish| &wish.paths).all(|path| path.starts_with('/') && !path.contains("/../")));
            assert!(manifest.secrets.iter().all(|wish| !wish.reason.trim().is_empty()));
        }
        Err(why) => assert!(!why.is_empty(), "it was refused without a reason"),
    }
    Outcome::of(&manifest)
}

pub fn examples() -> Vec<Vec<u8>> {
    let plugins = [
        include_str!("../../../plugins/storage-azure/manifest.toml"),
        include_str!("../../../plugins/storage-s3/manifest.toml"),
        include_str!("../../../plugins/vmware-cbt/manifest.toml"),
    ];
    plugins.map(|manifest| manifest.as_bytes().to_vec()).into()
}
