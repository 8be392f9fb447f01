//! A reply to a call: only a 200 or 500 that answers the question is an answer, and every fault has a sentence. The first two bytes are the
//! status.

use transload_guest::fault::Fault;
use vmware_cbt::moref::Moref;
use vmware_cbt::soap::{Call, Wire};

use crate::Outcome;
use crate::peer::{Once, envelope};

pub fn feed(bytes: &[u8]) -> Outcome {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else { return Outcome::Refused };
    let status = u16::from_be_bytes(*status);
    let http = Once::answering(status, body);
    let wire = Wire { http: &http, origin: "https://vc.test", user: "svc@x" };
    let call = Call::new("CurrentTime", &Moref::new("ServiceInstance", "ServiceInstance"));
    match wire.post("8.0.3.0", None, "read the clock", &call) {
        Ok(answer) => {
            assert!(matches!(status, 200 | 500), "status {status} is no answer");
            assert_eq!(answer.element.name, "CurrentTimeResponse");
            Outcome::Read
        }
        Err(refusal) => {
            assert!(!Fault::from(refusal).message.is_empty());
            Outcome::Refused
        }
    }
}

pub fn examples() -> Vec<Vec<u8>> {
    let answer = envelope("<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>2026-01-01T00:00:00Z</returnval></CurrentTimeResponse>");
    vec![[&200_u16.to_be_bytes(), answer.as_bytes()].concat()]
}
