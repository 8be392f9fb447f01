//! One page of List Blobs.

use transload_guest::fault::Fault;
use transload_guest::sink::{EntriesPage, Entry};
use transload_guest::xml::Element;
use transload_guest::{percent, xml};

/// Reads a reply. Keys come back without `prefix`, the operator's own part of them.
pub fn read(body: &[u8], prefix: &str) -> Result<EntriesPage, Fault> {
    let document = xml::parse(body)?;
    if document.name != "EnumerationResults" {
        return Err(Fault::corrupt(format!("The store answered a listing with {}.", document.name)));
    }
    let blobs = document.child("Blobs").ok_or_else(|| missing("Blobs"))?;
    let entries = blobs.children_named("Blob").map(|blob| listed(blob, prefix)).collect::<Result<_, _>>()?;
    // It stands in every page, and is empty in the last one.
    let next = document.text_of("NextMarker").ok_or_else(|| missing("NextMarker"))?;
    Ok(EntriesPage { entries, next: Some(next.to_owned()).filter(|marker| !marker.is_empty()) })
}

fn listed(blob: &Element, prefix: &str) -> Result<Entry, Fault> {
    let name = name(blob.child("Name").ok_or_else(|| missing("Name"))?)?;
    let property = |name: &str| blob.at(&["Properties", name]).map(|property| property.text().trim());
    if property("ResourceType") == Some("directory") {
        return Err(directories());
    }
    let size = property("Content-Length").and_then(|size| size.parse().ok()).ok_or_else(|| missing("Content-Length"))?;
    match name.strip_prefix(prefix) {
        Some(key) => Ok(Entry { key: key.to_owned(), size }),
        None => Err(Fault::corrupt(format!("The store listed {name}, which does not start with the prefix that was asked for."))),
    }
}

/// A name that XML cannot carry comes percent-encoded and says so.
fn name(element: &Element) -> Result<String, Fault> {
    match element.attribute("Encoded") {
        Some("true") => percent::decode(element.text(), false).ok_or_else(|| missing("a decodable Name")),
        _ => Ok(element.text().to_owned()),
    }
}

/// Where folders are things of their own they stand among the objects, outlive what was in them, and change the order.
pub fn directories() -> Fault {
    Fault::unsupported("The storage account has a hierarchical namespace, where folders are listed as objects: use an account without one.")
}

fn missing(what: &str) -> Fault {
    Fault::corrupt(format!("The store's listing lacks {what}."))
}

#[cfg(test)]
mod tests {
    use transload_guest::fault::FaultKind;

    use super::*;

    /// As Azure sends it, byte order mark included.
    fn page(blobs: &str, next: &str) -> Vec<u8> {
        let document = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a.test/\" ContainerName=\"c\">\
             <Prefix>site/</Prefix><MaxResults>1000</MaxResults><Blobs>{blobs}</Blobs>{next}</EnumerationResults>"
        );
        document.into_bytes()
    }

    fn blob(name: &str, size: &str) -> String {
        format!(
            "<Blob><Name>{name}</Name><Properties><Etag>0x8D</Etag><Content-Length>{size}</Content-Length>\
             <BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>"
        )
    }

    #[test]
    fn names_are_read_as_they_are_and_the_prefix_is_taken_off() {
        let blobs = blob("site/vm/a+b%20&amp;", "12") + &blob("site/vm/b", "0");
        let page = read(&page(&blobs, "<NextMarker>2!80!MDAw+/==</NextMarker>"), "site/").unwrap();
        assert_eq!(page.entries, [Entry { key: "vm/a+b%20&".into(), size: 12 }, Entry { key: "vm/b".into(), size: 0 }]);
        assert_eq!(page.next.as_deref(), Some("2!80!MDAw+/=="));
    }

    #[test]
    fn a_name_that_xml_cannot_carry_is_decoded() {
        let odd = blob("x", "1").replace("<Name>x", "<Name Encoded=\"true\">site/a%EF%BF%BEb+");
        assert_eq!(read(&page(&odd, "<NextMarker />"), "site/").unwrap().entries[0].key, "a\u{fffe}b+");
        assert!(read(&page(&odd.replace("%BE", "%ZZ"), "<NextMarker />"), "site/").is_err());
    }

    #[test]
    fn a_page_may_be_empty_and_not_the_last() {
        assert_eq!(read(&page("", "<NextMarker>m</NextMarker>"), "").unwrap(), EntriesPage { entries: Vec::new(), next: Some("m".into()) });
        assert_eq!(read(&page("", "<NextMarker />"), "").unwrap(), EntriesPage { entries: Vec::new(), next: None });
    }

    #[test]
    fn a_page_that_ends_early_or_strays_from_the_prefix_is_corrupt() {
        let last = "<NextMarker />";
        let said = |blobs: &str, next: &str| read(&page(blobs, next), "site/").unwrap_err();
        assert!(said("", "").message.contains("NextMarker"));
        assert!(said(&blob("other/a", "1"), last).message.contains("other/a"));
        assert!(said(&blob("site/a", "many"), last).message.contains("Content-Length"));
        assert!(said("<Blob><Properties/></Blob>", last).message.contains("Name"));
        assert!(read(b"<Error/>", "").is_err());
        assert_eq!(said("", "").kind, FaultKind::Corrupt);
    }

    #[test]
    fn a_folder_among_the_blobs_is_unsupported() {
        let folder = blob("site/vm", "0").replace("<BlobType>", "<ResourceType>directory</ResourceType><BlobType>");
        assert_eq!(read(&page(&folder, "<NextMarker />"), "site/").unwrap_err().kind, FaultKind::Unsupported);
        let file = blob("site/vm", "0").replace("<BlobType>", "<ResourceType>file</ResourceType><BlobType>");
        assert!(read(&page(&file, "<NextMarker />"), "site/").is_ok());
    }
}
