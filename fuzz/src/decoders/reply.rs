//! A receiver's reply that is read is one that would be written again with the same meaning.

use transload::api::command::Reply;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let reply = serde_json::from_slice::<Reply>(bytes);
    if let Ok(reply) = &reply {
        let written = serde_json::to_vec(reply).expect("a reply has only string keys");
        assert_eq!(&serde_json::from_slice::<Reply>(&written).expect("what was read can be written"), reply);
    }
    Outcome::of(&reply)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("reply.json").into()]
}
