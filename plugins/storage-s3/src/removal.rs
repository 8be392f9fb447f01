//! DeleteObjects: many keys in one request, a verdict for each.

use std::collections::BTreeMap;

use transload_guest::fault::Fault;
use transload_guest::xml::{self, escaped};

use crate::refusal::Refusal;
use crate::settings::Settings;

pub fn write(settings: &Settings, keys: &[String]) -> Vec<u8> {
    let mut body = String::from(r#"<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#);
    for key in keys {
        body.push_str(&format!("<Object><Key>{}</Key></Object>", escaped(&format!("{}{key}", settings.prefix))));
    }
    // Not quiet: a key that the reply does not speak of has not been deleted.
    body.push_str("<Quiet>false</Quiet></Delete>");
    body.into_bytes()
}

/// One verdict per key, in the order of `keys`.
pub fn read(settings: &Settings, keys: &[String], body: &[u8]) -> Result<Vec<Result<(), Fault>>, Fault> {
    let document = xml::parse(body)?;
    if document.name != "DeleteResult" {
        return Err(Fault::corrupt(format!("The store answered a deletion with {}.", document.name)));
    }
    let mut verdicts: BTreeMap<&str, Result<(), Fault>> = BTreeMap::new();
    for item in document.children() {
        let Some(key) = item.text_of("Key") else { continue };
        let verdict = match item.name.as_str() {
            "Deleted" => Ok(()),
            "Error" => judge(settings, key, item),
            _ => continue,
        };
        verdicts.insert(key, verdict);
    }
    let unanswered = |key: &String| Err(Fault::unavailable(format!("The store did not say whether it deleted {key}.")));
    let verdict_of = |key: &String| {
        let full = format!("{}{key}", settings.prefix);
        verdicts.get(full.as_str()).cloned().unwrap_or_else(|| unanswered(key))
    };
    Ok(keys.iter().map(verdict_of).collect())
}

fn judge(settings: &Settings, key: &str, item: &xml::Element) -> Result<(), Fault> {
    let code = item.text_of("Code").unwrap_or_default().to_owned();
    if code == "NoSuchKey" {
        return Ok(());
    }
    let message = item.text_of("Message").unwrap_or_default().to_owned();
    let refusal = Refusal { status: 500, code, message, ..Refusal::default() };
    Err(refusal.fault(settings, &format!("delete {key}")))
}

#[cfg(test)]
mod tests {
    use transload_guest::fault::FaultKind;

    use super::*;
    use crate::script::settings;

    #[test]
    fn each_key_has_its_own_verdict_in_the_order_asked() {
        let mut settings = settings();
        settings.prefix = "site/".into();
        let keys: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        let reply = br#"<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Error><Key>site/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>
            <Deleted><Key>site/a</Key></Deleted><Error><Key>site/c</Key><Code>NoSuchKey</Code></Error></DeleteResult>"#;
        let verdicts = read(&settings, &keys, reply).unwrap();
        assert!(verdicts[0].is_ok() && verdicts[2].is_ok());
        assert_eq!(verdicts[1].as_ref().unwrap_err().kind, FaultKind::Denied);
        assert_eq!(verdicts[3].as_ref().unwrap_err().kind, FaultKind::Unavailable);
    }

    #[test]
    fn keys_are_escaped_and_carry_the_prefix() {
        let mut settings = settings();
        settings.prefix = "a&b/".into();
        let body = String::from_utf8(write(&settings, &["x<y".into()])).unwrap();
        assert!(body.contains("<Key>a&amp;b/x&lt;y</Key>"), "{body}");
    }
}
