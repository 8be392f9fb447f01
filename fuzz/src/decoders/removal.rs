//! The reply to a deletion: one verdict for each key, in the order asked, and none is good that the reply does not speak of.

use storage_s3::removal::read;
use storage_s3::settings::Settings;

use crate::Outcome;

const SETTINGS: &str = r#"{"endpoint":"https://s3.test","region":"r","bucket":"b","access-key":"AK","prefix":"site"}"#;

pub fn feed(bytes: &[u8]) -> Outcome {
    let settings = Settings::parse(SETTINGS).expect("settings that can be used");
    // The last one cannot stand in any XML.
    let keys = ["a", "vm/a b", "never\u{0}"].map(String::from);
    let verdicts = read(&settings, &keys, bytes);
    if let Ok(verdicts) = &verdicts {
        assert_eq!(verdicts.len(), keys.len());
        let good = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        let spoken_of = bytes.windows(3).filter(|word| word == b"Key").count();
        assert!(good <= spoken_of, "{good} keys are deleted, and the reply names {spoken_of}");
    }
    Outcome::of(&verdicts)
}

pub fn examples() -> Vec<Vec<u8>> {
    let reply = r#"<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error><Key>site/vm/a b</Key><Code>AccessDenied</Code><Message>no</Message></Error><Deleted><Key>site/a</Key></Deleted></DeleteResult>"#;
    vec![reply.into()]
}
