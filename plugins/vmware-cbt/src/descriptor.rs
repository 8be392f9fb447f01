//! A VMDK's descriptor: the small text file that says which file holds the disk's bytes, and in which form.
//!
//! Only one form is readable here, a flat file that is the whole disk. Everything else is refused by its name, for a wrong guess
//! would replicate wrong bytes.

use transload_guest::fault::Fault;

/// A descriptor is a kilobyte or two; what is longer is not one.
pub const BYTES_MAX: u64 = 64 << 10;

/// The name of the flat file, beside the descriptor.
pub fn flat_file(bytes: &[u8], size: u64, name: &str) -> Result<String, Fault> {
    let cannot = |why: &str| Fault::unsupported(format!("The disk file {name} cannot be read over HTTPS: {why}."));
    let text = std::str::from_utf8(bytes).map_err(|_| cannot("it is no text descriptor"))?;
    if !text.lines().next().is_some_and(|line| line.trim_start().starts_with("# Disk DescriptorFile")) {
        return Err(cannot("it is no descriptor; the datastore may have sent the disk itself"));
    }
    let value = |key: &str| {
        let found = text.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    if value("parentCID").is_some_and(|parent| !parent.eq_ignore_ascii_case("ffffffff")) {
        return Err(cannot("it stands on another file, so an older snapshot exists; remove that snapshot"));
    }
    let extents: Vec<Extent> = text.lines().filter_map(Extent::parse).collect();
    let [extent] = extents.as_slice() else {
        return Err(cannot(&format!("it has {} extents where one was expected", extents.len())));
    };
    for (scheme, product) in [("vsan://", "vSAN"), ("vvol://", "a vVol datastore"), ("rfc4122.", "a vVol datastore")] {
        if extent.file.starts_with(scheme) {
            return Err(cannot(&format!("{product} keeps disks as objects, not as files")));
        }
    }
    match extent.form.as_str() {
        "VMFS" | "FLAT" => {}
        "VMFSRDM" | "VMFSRAW" => return Err(cannot("it points to a raw device")),
        "SESPARSE" | "VMFSSPARSE" | "SPARSE" => return Err(cannot(&format!("its form {} is that of a snapshot's delta", extent.form))),
        other => return Err(cannot(&format!("its form {other} is not a flat file"))),
    }
    if extent.sectors.checked_mul(512) != Some(size) {
        return Err(Fault::corrupt(format!("{name} describes {} sectors, but the disk has {size} bytes.", extent.sectors)));
    }
    if extent.offset != 0 || matches!(extent.file.as_str(), "" | "." | "..") || extent.file.contains('/') {
        return Err(cannot("its flat file does not lie beside it"));
    }
    Ok(extent.file.clone())
}

struct Extent {
    sectors: u64,
    form: String,
    file: String,
    offset: u64,
}

impl Extent {
    /// `RW 41943040 VMFS "web-flat.vmdk"`, with an offset behind some forms.
    fn parse(line: &str) -> Option<Extent> {
        let line = line.trim();
        let rest = ["RW ", "RDONLY ", "NOACCESS "].iter().find_map(|access| line.strip_prefix(access))?;
        let (sectors, rest) = rest.trim_start().split_once(' ')?;
        let (form, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        let mut quoted = rest.splitn(3, '"');
        let (_, file, behind) = (quoted.next(), quoted.next().unwrap_or_default(), quoted.next().unwrap_or_default());
        Some(Extent {
            sectors: sectors.parse().ok()?,
            form: form.to_owned(),
            file: file.to_owned(),
            offset: behind.split_whitespace().next().and_then(|offset| offset.parse().ok()).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use transload_guest::fault::FaultKind;

    use super::*;

    fn descriptor(parent: &str, extents: &str) -> String {
        format!(
            "# Disk DescriptorFile\nversion=4\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID={parent}\ncreateType=\"vmfs\"\n\n# Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n"
        )
    }

    fn read(parent: &str, extents: &str) -> Result<String, Fault> {
        flat_file(descriptor(parent, extents).as_bytes(), 1024, "[ds] web/web.vmdk")
    }

    #[test]
    fn a_flat_disk_names_its_file() {
        assert_eq!(read("ffffffff", "RW 2 VMFS \"my web-flat.vmdk\""), Ok("my web-flat.vmdk".to_owned()));
        assert_eq!(read("FFFFFFFF", "RW 2 FLAT \"web-flat.vmdk\" 0"), Ok("web-flat.vmdk".to_owned()));
    }

    #[test]
    fn every_other_form_is_refused_by_its_name() {
        for (parent, extents, word) in [
            ("0badc0de", "RW 2 VMFS \"a-flat.vmdk\"", "older snapshot"),
            ("ffffffff", "RW 2 VMFS \"vsan://6000\"", "vSAN"),
            ("ffffffff", "RW 2 VMFS \"vvol://x\"", "vVol"),
            ("ffffffff", "RW 2 SESPARSE \"a-sesparse.vmdk\"", "SESPARSE"),
            ("ffffffff", "RW 2 VMFSSPARSE \"a-delta.vmdk\"", "VMFSSPARSE"),
            ("ffffffff", "RW 2 VMFSRDM \"a-rdm.vmdk\"", "raw device"),
            ("ffffffff", "RW 2 ZERO", "ZERO"),
            ("ffffffff", "RW 1 VMFS \"a-flat.vmdk\"\nRW 1 VMFS \"b-flat.vmdk\"", "2 extents"),
            ("ffffffff", "", "0 extents"),
            ("ffffffff", "RW 2 FLAT \"a-flat.vmdk\" 128", "beside"),
            ("ffffffff", "RW 2 VMFS \"../other/a-flat.vmdk\"", "beside"),
            ("ffffffff", "RW 2 VMFS \"..\"", "beside"),
        ] {
            let fault = read(parent, extents).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Unsupported, "{extents}");
            assert!(fault.message.contains(word), "{} lacks {word}", fault.message);
        }
    }

    #[test]
    fn another_size_is_corrupt_and_the_disk_itself_is_no_descriptor() {
        assert_eq!(read("ffffffff", "RW 3 VMFS \"a-flat.vmdk\"").unwrap_err().kind, FaultKind::Corrupt);
        assert_eq!(flat_file(&[0xeb, 0x63, 0x90], 1024, "x").unwrap_err().kind, FaultKind::Unsupported);
        assert_eq!(flat_file(b"RW 2 VMFS \"a-flat.vmdk\"", 1024, "x").unwrap_err().kind, FaultKind::Unsupported);
    }
}
