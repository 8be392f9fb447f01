//! A receipt that is read is one that would be written again with the same meaning.

use transload::model::commit::Receipt;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let receipt = Receipt::decode(bytes);
    if let Ok(receipt) = &receipt {
        assert_eq!(&Receipt::decode(&receipt.encode()).expect("what was read can be written"), receipt);
    }
    Outcome::of(&receipt)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("receipt-applied.json").into(), golden!("receipt-rejected.json").into()]
}
