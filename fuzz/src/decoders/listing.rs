//! A page of a listing: every key lies below the prefix that was asked for, and the page that is written of it reads the same.

use storage_s3::listing::read;
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
    let key = |key: &str| encode(&format!("{PREFIX}{key}"), Slash::Keep);
    let contents: String = page
        .entries
        .iter()
        .map(|entry| format!("<Contents><Key>{}</Key><Size>{}</Size></Contents>", key(&entry.key), entry.size))
        .collect();
    let next = page.next.as_deref().map(|next| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(next)));
    format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>{}{contents}</ListBucketResult>",
        page.next.is_some(),
        next.unwrap_or_default()
    )
}

pub fn examples() -> Vec<Vec<u8>> {
    let encoded = r#"<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>1/a+b==</NextContinuationToken><Contents><Key>site%2Fvm%2Fa+b%2B</Key><Size>12</Size></Contents></ListBucketResult>"#;
    let plain =
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>site/a+b</Key><Size>1</Size></Contents></ListBucketResult>";
    vec![encoded.into(), plain.into()]
}
