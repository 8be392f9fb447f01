//! A command that came through the store, and the words in it, are what would be written again with the same meaning.

use transload::api::command::Command;
use transload::log::relayed::RelayedCommand;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let relayed = RelayedCommand::decode(bytes);
    if let Ok(relayed) = &relayed {
        assert_eq!(&RelayedCommand::decode(&relayed.encode()).expect("what was read can be written"), relayed);
        words(relayed.command.as_bytes());
    }
    // Inventing JSON inside a string of JSON takes a fuzzer too long; and the socket hears the words alone.
    words(bytes);
    Outcome::of(&relayed)
}

fn words(bytes: &[u8]) {
    if let Ok(command) = serde_json::from_slice::<Command>(bytes) {
        let written = serde_json::to_vec(&command).expect("a command has only string keys");
        assert_eq!(serde_json::from_slice::<Command>(&written).expect("what was read can be written"), command);
    }
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("command.json").into()]
}
