//! Addresses that lead back into this machine, or to what a cloud tells its machines: who asks there from here, asks as this machine.
//!
//! A name that suddenly resolves to one of them is how a request that looks harmless reaches a metadata service and its credentials. They
//! are refused unless the operator wrote them down: as the endpoint's own address, as `address`, or in `expect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What clouds call their metadata services where link-local does not cover it: Azure's wire server, Alibaba's, and EC2's over IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What the address leads to, if nobody should be led there by a name.
pub fn inside(address: IpAddr) -> Option<&'static str> {
    let address = plain(address);
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let nobody = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    match address {
        _ if address.is_loopback() || address.is_unspecified() => Some("this machine itself"),
        _ if METADATA.contains(&address) => Some("a cloud's metadata service"),
        _ if link_local => Some("a link-local address, where clouds have their metadata services"),
        _ if nobody || address.is_multicast() => Some("no single machine"),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address is another way of writing: mapped, or behind the well-known prefix of NAT64 (RFC 6052).
fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(long) => match long.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            _ => IpAddr::V6(long),
        },
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_inside_is_known_however_it_is_written() {
        for (address, what) in [
            ("127.0.0.1", "itself"),
            ("127.8.8.8", "itself"),
            ("0.0.0.0", "itself"),
            ("::1", "itself"),
            ("::", "itself"),
            ("::ffff:127.0.0.1", "itself"),
            ("64:ff9b::7f00:1", "itself"),
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("fe80::1", "link-local"),
            ("168.63.129.16", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("255.255.255.255", "no single"),
            ("ff02::1", "no single"),
        ] {
            assert!(inside(address.parse().unwrap()).is_some_and(|said| said.contains(what)), "{address}");
        }
    }

    #[test]
    fn networks_of_a_site_are_outside() {
        for address in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "64:ff9b::a00:1"] {
            assert_eq!(inside(address.parse().unwrap()), None, "{address}");
        }
    }
}
