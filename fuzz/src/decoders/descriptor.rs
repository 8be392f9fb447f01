//! A VMDK's descriptor: the file that it names lies beside it, and its URL never leaves the datastore's folder.

use vmware_cbt::descriptor::flat_file;
use vmware_cbt::folder::DatastorePath;

use crate::Outcome;

const SIZE: u64 = 4192 * 512;

pub fn feed(bytes: &[u8]) -> Outcome {
    if let Some(path) = std::str::from_utf8(bytes).ok().and_then(DatastorePath::parse) {
        stays(&path);
    }
    let file = flat_file(bytes, SIZE, "[ds] vm/vm.vmdk");
    if let Ok(file) = &file {
        let descriptor = DatastorePath::parse("[ds] vm/vm.vmdk").expect("a path on a datastore");
        let flat = descriptor.sibling(file);
        assert_eq!(flat.path.rsplit_once('/').map(|(folder, _)| folder), Some("vm"), "{}", flat.path);
        stays(&flat);
    }
    Outcome::of(&file)
}

fn stays(path: &DatastorePath) {
    let url = path.url("https://vc.test", "DC 1");
    let below = url.strip_prefix("https://vc.test/folder/").expect("the folder's URL");
    let (below, _) = below.split_once('?').expect("the datastore's name");
    assert!(below.split('/').all(|segment| !matches!(segment, "." | "..")), "{url} climbs");
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
}

pub fn examples() -> Vec<Vec<u8>> {
    let text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\nRW 4192 VMFS \"vm-flat.vmdk\"\n";
    let with_offset = text.replace("VMFS \"vm-flat.vmdk\"", "FLAT \"vm-flat.vmdk\" 0");
    vec![text.into(), with_offset.into()]
}
