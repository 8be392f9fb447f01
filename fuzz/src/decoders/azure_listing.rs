//! A page of Azure's listing: every key lies below the prefix that was asked for, and the page that is written of it reads the same.

use storage_azure::listing::read;
use transload_guest::percent::{Slash, encode};
use transload_guest::sink::EntriesPage;
use transload_guest::xml::escaped;

use crate::Outcome;

const PREFIX: &str = "site/";

pub fn feed(bytes: &[u8]) -> Outcome {
    let page = read(bytes, PREFIX);
    if let Ok(page) = &page {
        assert_eq!(&read(write(page).as_bytes(), PREFIX).expect("what was read can be written"), page);
    }
    Outcome::of(&page)
}

fn write(page: &EntriesPage) -> String {
    let name = |key: &str| encode(&format!("{PREFIX}{key}"), Slash::Keep);
    let blobs: String = page
        .entries
        .iter()
        .map(|entry| {
            let properties = format!("<Properties><Content-Length>{}</Content-Length></Properties>", entry.size);
            format!("<Blob><Name Encoded=\"true\">{}</Name>{properties}</Blob>", name(&entry.key))
        })
        .collect();
    let next = escaped(page.next.as_deref().unwrap_or_default());
    format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>")
}

pub fn examples() -> Vec<Vec<u8>> {
    let plain = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\"><Prefix>site/</Prefix><Blobs><Blob><Name>site/vm/a+b</Name><Properties><Content-Length>12</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob></Blobs><NextMarker>2!80!MDAw</NextMarker></EnumerationResults>";
    let encoded = r#"<EnumerationResults><Blobs><Blob><Name Encoded="true">site/a%EF%BF%BE</Name><Properties><Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker /></EnumerationResults>"#;
    vec![plain.into(), encoded.into()]
}
