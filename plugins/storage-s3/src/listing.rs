//! One page of ListObjectsV2.

use transload_guest::fault::Fault;
use transload_guest::sink::{EntriesPage, Entry};
use transload_guest::{percent, xml};

/// Reads a reply. Keys come back without `prefix`, the operator's own part of them.
pub fn read(body: &[u8], prefix: &str) -> Result<EntriesPage, Fault> {
    let document = xml::parse(body)?;
    if document.name != "ListBucketResult" {
        return Err(Fault::corrupt(format!("The store answered a listing with {}.", document.name)));
    }
    // A store may ignore encoding-type; then it does not repeat it in its reply either.
    let encoded = document.text_of("EncodingType").is_some_and(|kind| kind.eq_ignore_ascii_case("url"));
    let mut entries = Vec::new();
    for content in document.children_named("Contents") {
        let raw = content.text_of("Key").ok_or_else(|| missing("Key"))?;
        let key = if encoded { percent::decode(raw, true).ok_or_else(|| missing("a decodable Key"))? } else { raw.to_owned() };
        let size = content.text_of("Size").and_then(|size| size.trim().parse().ok()).ok_or_else(|| missing("Size"))?;
        let Some(key) = key.strip_prefix(prefix) else {
            return Err(Fault::corrupt(format!("The store listed {key}, which does not start with the prefix that was asked for.")));
        };
        entries.push(Entry { key: key.to_owned(), size });
    }
    let truncated = document.text_of("IsTruncated").is_some_and(|text| text.trim() == "true");
    let next = document.text_of("NextContinuationToken").map(str::to_owned).filter(|token| !token.is_empty());
    match (truncated, next) {
        (true, None) => Err(missing("NextContinuationToken")),
        (true, next) => Ok(EntriesPage { entries, next }),
        (false, _) => Ok(EntriesPage { entries, next: None }),
    }
}

fn missing(what: &str) -> Fault {
    Fault::corrupt(format!("The store's listing lacks {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_are_decoded_and_the_prefix_is_taken_off() {
        let body = br#"<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><EncodingType>url</EncodingType>
            <IsTruncated>true</IsTruncated><NextContinuationToken>1/a+b==</NextContinuationToken>
            <Contents><Key>site%2Fvm%2Fa+b%2B</Key><Size>12</Size></Contents><Contents><Key>site/vm/b</Key><Size>0</Size></Contents></ListBucketResult>"#;
        let page = read(body, "site/").unwrap();
        assert_eq!(page.entries, [Entry { key: "vm/a b+".into(), size: 12 }, Entry { key: "vm/b".into(), size: 0 }]);
        assert_eq!(page.next.as_deref(), Some("1/a+b=="));
    }

    #[test]
    fn a_plus_is_a_plus_when_the_store_did_not_encode() {
        let body =
            b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a+b</Key><Size>1</Size></Contents></ListBucketResult>";
        assert_eq!(read(body, "").unwrap(), EntriesPage { entries: vec![Entry { key: "a+b".into(), size: 1 }], next: None });
    }

    #[test]
    fn a_page_that_ends_early_or_strays_from_the_prefix_is_corrupt() {
        let lost = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
        assert!(read(lost, "").unwrap_err().message.contains("NextContinuationToken"));
        let stray = b"<ListBucketResult><Contents><Key>other/a</Key><Size>1</Size></Contents></ListBucketResult>";
        assert!(read(stray, "site/").is_err());
        assert!(read(b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "").is_err());
        assert!(read(b"<Error/>", "").is_err());
    }
}
