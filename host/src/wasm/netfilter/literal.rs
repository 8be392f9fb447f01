//! What a text in a rule may be: an address, one of nft's words, the name of an interface. Which of them follows from what it is compared
//! with.
//!
//! A text where an address may stand must be an address: `nft` would ask the machine's resolver for anything else, and so carry a guest's
//! words out to a name server of its choice.

use std::net::IpAddr;

use serde_json::Value;

use super::expression::{CALCULATIONS, Judged, entry, is_identifier, named};

/// What packets and connections are told apart by, in nft's own words.
const WORDS: &[&str] = &[
    // protocols
    "ip",
    "ip6",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "icmp",
    "icmpv6",
    "ipv6-icmp",
    "esp",
    "ah",
    "gre",
    "comp",
    // connections
    "new",
    "established",
    "related",
    "invalid",
    "untracked",
    "snat",
    "dnat",
    "assured",
    "confirmed",
    "seen-reply",
    "expected",
    "original",
    "reply",
    // TCP's flags
    "fin",
    "syn",
    "rst",
    "psh",
    "ack",
    "urg",
    "ecn",
    "cwr",
    // ICMP
    "echo-request",
    "echo-reply",
    "destination-unreachable",
    "time-exceeded",
    "parameter-problem",
    "packet-too-big",
    "redirect",
    "source-quench",
    "timestamp-request",
    "timestamp-reply",
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "nd-redirect",
    // kinds of addresses and packets
    "local",
    "unicast",
    "broadcast",
    "multicast",
    "anycast",
    "blackhole",
    "unreachable",
    "prohibit",
    "host",
    "other",
];

/// What a text may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An address, or a set's name. Everything that is not known to be another place.
    Address,
    /// One of nft's words.
    Word,
    /// The name of a network interface.
    Interface,
}

/// What a text may be that is compared with this.
pub fn place(left: Option<&Value>) -> Place {
    let Some((name, inner)) = left.and_then(entry) else { return Place::Address };
    let of = |key: &str| inner.get(key).and_then(Value::as_str).unwrap_or_default();
    match name {
        "meta" if matches!(of("key"), "iifname" | "oifname") => Place::Interface,
        "meta" if matches!(of("key"), "l4proto" | "nfproto" | "protocol" | "pkttype") => Place::Word,
        "ct" if matches!(of("key"), "state" | "status" | "direction" | "l3proto" | "protocol") => Place::Word,
        "fib" if of("result") == "type" => Place::Word,
        "payload" => match (of("protocol"), of("field")) {
            ("ip", "protocol") | ("ip6", "nexthdr") | ("tcp", "flags") | ("icmp" | "icmpv6", "type") => Place::Word,
            _ => Place::Address,
        },
        _ if CALCULATIONS.contains(&name) => place(inner.get(0)),
        _ => Place::Address,
    }
}

/// The same for a calculation, whose first side may be a text itself.
pub fn place_beside(first: &Value, outer: Place) -> Place {
    match entry(first) {
        Some((name, inner)) if CALCULATIONS.contains(&name) => inner.get(0).map_or(outer, |first| place_beside(first, outer)),
        Some(_) => place(Some(first)),
        None => outer,
    }
}

pub fn literal(text: &str, place: Place) -> Judged {
    let interface = |name: &str| {
        let stem = name.strip_suffix('*').unwrap_or(name);
        name.len() <= 15 && !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let fits = match place {
        _ if text.strip_prefix('@').is_some_and(is_identifier) || text == "*" => true,
        Place::Address => text.parse::<IpAddr>().is_ok(),
        Place::Word => WORDS.contains(&text),
        Place::Interface => interface(text),
    };
    match (fits, place) {
        (true, _) => Ok(()),
        (false, Place::Interface) => Err(format!("{} is no name of an interface", named(text))),
        (false, Place::Word) => Err(format!("{} is none of nft's words that this host knows; write its number", named(text))),
        (false, Place::Address) => Err(format!("{} is no address; names are not resolved, and ports are numbers", named(text))),
    }
}
