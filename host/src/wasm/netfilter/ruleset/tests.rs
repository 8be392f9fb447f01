use serde_json::json;

use super::*;
use crate::model::FaultKind;

const TABLE: &str = "transload_nat";

fn judged(commands: Value) -> Result<Vec<Value>, Fault> {
    judge(&json!({"nftables": commands}).to_string(), TABLE)
}

/// Why the only command is denied, without the words around it.
fn why_denied(command: Value) -> String {
    let fault = judged(json!([command.clone()])).expect_err(&command.to_string());
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    fault.message.strip_prefix("command 1 of the ruleset ").unwrap_or(&fault.message).to_owned()
}

fn rule(statement: Value) -> Value {
    json!({"add": {"rule": {"family": "inet", "table": TABLE, "chain": "c", "expr": [statement]}}})
}

fn compared(left: Value, right: Value) -> Value {
    rule(json!({"match": {"op": "==", "left": left, "right": right}}))
}

/// What moves an address, as a cutover writes it.
pub fn moved_address() -> Value {
    let own = |mut object: Value| {
        object["family"] = json!("inet");
        object["table"] = json!(TABLE);
        object
    };
    json!([
        {"metainfo": {"json_schema_version": 1}},
        {"add": {"chain": own(json!({"name": "incoming", "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}))}},
        {"add": {"chain": own(json!({"name": "forwarded", "type": "filter", "hook": "forward", "prio": 0}))}},
        {"add": {"chain": own(json!({"name": "counted"}))}},
        {"add": {"counter": own(json!({"name": "moved", "comment": "packets that went to the new place"}))}},
        {"add": {"set": own(json!({"name": "old", "type": "ipv4_addr", "flags": ["interval"], "elem": [{"prefix": {"addr": "10.0.0.0", "len": 24}}, "10.9.0.1"]}))}},
        {"add": {"map": own(json!({"name": "places", "type": "ipv4_addr", "map": "ipv4_addr", "elem": [["10.0.0.7", "192.168.7.7"]]}))}},
        {"add": {"map": own(json!({"name": "ways", "type": "inet_service", "map": "verdict", "elem": [[22, {"drop": null}], [80, {"jump": {"target": "counted"}}]]}))}},
        {"add": {"element": own(json!({"name": "places", "elem": [["10.0.0.8", "192.168.7.8"]]}))}},
        {"add": {"rule": own(json!({"chain": "counted", "expr": [{"counter": "moved"}, {"return": null}]}))}},
        {"add": {"rule": own(json!({"chain": "incoming", "comment": "to where the VM is now", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "@old"}},
            {"counter": null},
            {"dnat": {"family": "ip", "addr": {"map": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": "@places"}}}}]}))}},
        {"add": {"rule": own(json!({"chain": "forwarded", "expr": [
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}))}},
        {"insert": {"rule": own(json!({"chain": "forwarded", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["eth0", "br-lan.7"]}}},
            {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}},
            {"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["syn", "ack"]}]}, "right": "syn"}},
            {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}},
            {"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@ways"}}]}))}},
        {"add": {"rule": own(json!({"chain": "forwarded", "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [8000, 8080]}}},
            {"limit": {"rate": 10, "per": "second", "burst": 5}},
            {"reject": {"type": "tcp reset"}}]}))}},
    ])
}

#[test]
fn what_stays_inside_is_passed_on_as_it_was_read() {
    let commands = moved_address();
    let inside = judged(commands.clone()).unwrap();
    assert_eq!(inside, commands.as_array().unwrap()[1..]);
    assert_eq!(judged(json!([])).unwrap(), [Value::Null; 0]);
    // A listing is taken as it is, without the numbers that things had then.
    let listed = json!({"chain": {"family": "inet", "table": TABLE, "name": "c", "handle": 7}});
    let added = json!({"add": {"chain": {"family": "inet", "table": TABLE, "name": "c"}}});
    assert_eq!(judged(json!([listed.clone()])).unwrap(), std::slice::from_ref(&added));
    let map = json!({"family": "inet", "table": TABLE, "name": "m", "type": "inet_service", "map": "verdict", "elem": [[80, {"jump": {"target": "c"}}]]});
    assert_eq!(judged(json!([{"map": map.clone()}, listed])).unwrap(), [added, json!({"add": {"map": map}})]);
    let delete = json!({"delete": {"table": {"family": "inet", "name": TABLE}}});
    assert_eq!(judged(json!([delete.clone()])).unwrap(), [delete]);
}

#[test]
fn what_is_about_other_tables_is_denied_with_the_command_named() {
    let other = format!(": it is not about the own table, inet {TABLE}");
    for (command, why) in [
        (json!({"flush": {"ruleset": null}}), "(flush ruleset) is not granted: it is about all tables of this machine".to_owned()),
        (json!({"list": {"ruleset": null}}), "(list ruleset) is not granted: it is about all tables of this machine".to_owned()),
        (json!({"delete": {"table": {"family": "inet", "name": "filter"}}}), format!("(delete table) is not granted{other}")),
        (json!({"delete": {"table": {"family": "ip", "name": TABLE}}}), format!("(delete table) is not granted{other}")),
        (json!({"add": {"table": {"family": "netdev", "name": TABLE}}}), format!("(add table) is not granted{other}")),
        (
            json!({"flush": {"chain": {"family": "inet", "table": "filter", "name": "input"}}}),
            format!("(flush chain) is not granted{other}"),
        ),
        (json!({"add": {"rule": {"family": "ip", "table": TABLE, "chain": "c", "expr": []}}}), format!("(add rule) is not granted{other}")),
        (json!({"add": {"rule": {"family": "inet", "table": "x", "chain": "c", "expr": []}}}), format!("(add rule) is not granted{other}")),
        (
            json!({"add": {"element": {"family": "inet", "table": "x", "name": "s", "elem": []}}}),
            format!("(add element) is not granted{other}"),
        ),
        // By its number the table of somebody else would be meant.
        (json!({"delete": {"table": {"family": "inet", "handle": 1}}}), "(delete table) is not granted: its name is missing".to_owned()),
        (
            json!({"delete": {"table": {"family": "inet", "name": TABLE, "handle": 1}}}),
            "(delete table) is not granted: this host does not know its key \"handle\"".to_owned(),
        ),
        (json!({"add": {"chain": {"table": TABLE, "name": "c"}}}), "(add chain) is not granted: its family is missing".to_owned()),
        (json!({"add": {"chain": {"family": ["inet"], "table": TABLE}}}), "(add chain) is not granted: its family is missing".to_owned()),
    ] {
        assert_eq!(why_denied(command), why);
    }
}

#[test]
fn verbs_and_objects_that_are_not_known_are_denied() {
    for (command, name) in [
        (json!({"include": "/etc/nftables.conf"}), "(include)"),
        (json!({"reset": {"counters": {"family": "inet", "table": TABLE}}}), "(reset counters)"),
        (json!({"rename": {"chain": {"family": "inet", "table": TABLE, "name": "a", "newname": "b"}}}), "(rename chain)"),
        (json!({"list": {"table": {"family": "inet", "name": TABLE}}}), "(list table)"),
        (json!({"replace": {"chain": {"family": "inet", "table": TABLE, "name": "a"}}}), "(replace chain)"),
        (
            json!({"add": {"flowtable": {"family": "inet", "table": TABLE, "name": "f", "hook": "ingress", "dev": "eth0"}}}),
            "(add flowtable)",
        ),
        (
            json!({"add": {"ct helper": {"family": "inet", "table": TABLE, "name": "h", "type": "ftp", "protocol": "tcp"}}}),
            "(add ct helper)",
        ),
        (json!({"add": {"secmark": {"family": "inet", "table": TABLE, "name": "s", "context": "x"}}}), "(add secmark)"),
        (json!({"add": {"synproxy": {"family": "inet", "table": TABLE, "name": "s"}}}), "(add synproxy)"),
        (json!({"add": {"rule": {}, "table": {}}}), "(add)"),
        (json!({"add": {"chain": {}}, "flush": {"ruleset": null}}), "(no command)"),
        (json!(["flush", "ruleset"]), "(no command)"),
        (json!("flush ruleset"), "(no command)"),
        (json!({"add\u{1b}[2K": {"x": {}}}), "(\"add\\u{1b}[2K\" x)"),
    ] {
        let why = why_denied(command);
        assert!(why.starts_with(name), "{why}");
    }
}

#[test]
fn a_chain_hangs_where_all_of_this_machine_is_seen_and_not_on_one_device() {
    for (key, value) in [
        ("hook", json!("ingress")),
        ("hook", json!("egress")),
        ("dev", json!("eth0")),
        ("devices", json!(["eth0"])),
        ("type", json!("broute")),
        ("policy", json!("queue")),
        ("prio", json!("filter")),
        ("name", json!("a; flush ruleset")),
        ("comment", json!("x\u{1b}[2K")),
        ("newname", json!("other")),
    ] {
        let mut chain = json!({"family": "inet", "table": TABLE, "name": "c", "type": "filter", "hook": "input", "prio": 0});
        chain[key] = value;
        assert!(why_denied(json!({"add": {"chain": chain}})).starts_with("(add chain)"), "{key}");
    }
}

#[test]
fn statements_that_reach_beyond_the_table_are_denied() {
    for statement in [
        json!({"queue": {"num": 0}}),
        json!({"dup": {"addr": "192.0.2.1"}}),
        json!({"fwd": {"dev": "eth0"}}),
        json!({"tproxy": {"port": 80}}),
        json!({"log": {"prefix": "kernel panic"}}),
        json!({"xt": null}),
        json!({"notrack": null}),
        json!({"flow": {"op": "add", "flowtable": "@f"}}),
        json!({"synproxy": {}}),
        json!({"ct helper": "ftp"}),
        json!({"secmark": "x"}),
        json!({"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}),
        json!({"meter": {"name": "m"}}),
        json!({"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}),
        json!({"mangle": {"key": {"ct": {"key": "mark"}}, "value": 1}}),
        json!({"jump": {"target": "other table"}}),
        json!({"jump": {"target": "c", "table": "filter"}}),
        json!({"goto": "c"}),
        json!({"accept": {}}),
        json!({"accept": null, "drop": null}),
        json!("accept"),
        json!({"counter": {"packets": "1"}}),
        json!({"limit": {"rate": 1.5, "per": "second"}}),
    ] {
        let why = why_denied(rule(statement.clone()));
        assert!(why.starts_with("(add rule) is not granted: "), "{statement}: {why}");
    }
}

/// nft asks the machine's resolver for a text where an address should be: a rule would be a way to say something to the outside.
#[test]
fn no_text_is_looked_up_as_a_name() {
    let saddr = || json!({"payload": {"protocol": "ip", "field": "saddr"}});
    let state = || json!({"ct": {"key": "state"}});
    let inward = || json!({"meta": {"key": "iifname"}});
    for text in ["secret.attacker.test", "localhost", "host", "tcp", "10.0.0.0/8", "10.0.0", "fe80::1%eth0", "@a b", ""] {
        for command in [
            compared(saddr(), json!(text)),
            compared(saddr(), json!({"set": ["10.0.0.1", text]})),
            compared(saddr(), json!({"range": ["10.0.0.1", text]})),
            compared(saddr(), json!({"prefix": {"addr": text, "len": 24}})),
            compared(saddr(), json!({"|": ["10.0.0.1", text]})),
            compared(json!({"&": [saddr(), text]}), json!(0)),
            compared(json!({"concat": [state(), saddr()]}), json!({"concat": ["new", text]})),
            // Where another kind of text may stand, and what it is compared with asks for an address.
            compared(state(), json!({"&": [saddr(), text]})),
            compared(inward(), json!({"&": [saddr(), text]})),
            compared(inward(), json!({"concat": [saddr(), text]})),
            compared(inward(), json!({"prefix": {"addr": text, "len": 8}})),
            compared(state(), json!({"map": {"key": saddr(), "data": {"set": [[text, "10.0.0.1"]]}}})),
            rule(json!({"dnat": {"addr": text}})),
            rule(json!({"dnat": {"addr": {"map": {"key": state(), "data": {"set": [["new", text]]}}}}})),
            rule(json!({"snat": {"addr": "10.0.0.1", "port": text}})),
            rule(json!({"vmap": {"key": saddr(), "data": {"set": [[text, {"accept": null}]]}}})),
            rule(json!({"mangle": {"key": saddr(), "value": text}})),
            json!({"add": {"element": {"family": "inet", "table": TABLE, "name": "s", "elem": [text]}}}),
            json!({"add": {"element": {"family": "inet", "table": TABLE, "name": "s", "elem": [{"elem": {"val": text}}]}}}),
            json!({"add": {"set": {"family": "inet", "table": TABLE, "name": "s", "type": "ipv4_addr", "elem": [text]}}}),
        ] {
            why_denied(command);
        }
    }
    assert_eq!(
        why_denied(compared(saddr(), json!("secret.attacker.test"))),
        "(add rule) is not granted: in its statement \"match\": \"secret.attacker.test\" is no address; names are not resolved, and ports are \
         numbers"
    );
    assert!(why_denied(compared(state(), json!("attacker.test"))).contains("is none of nft's words"));
    assert!(why_denied(compared(inward(), json!("far too long to be one"))).contains("is no name of an interface"));
}

#[test]
fn sets_hold_what_nothing_is_looked_up_for_and_no_packet_fills_them() {
    for (key, value) in [
        ("type", json!("mark")),
        ("type", json!("ifname")),
        ("type", json!({"typeof": {"payload": {"protocol": "ip", "field": "saddr"}}})),
        ("type", json!(["ipv4_addr", "gid"])),
        ("flags", json!(["dynamic"])),
        ("flags", json!("timeout,dynamic")),
        ("stmt", json!([{"log": null}])),
        ("expr", json!([{"counter": null}])),
        ("map", json!("verdict")),
    ] {
        let mut set = json!({"family": "inet", "table": TABLE, "name": "s", "type": "ipv4_addr"});
        set[key] = value;
        assert!(why_denied(json!({"add": {"set": set}})).starts_with("(add set)"), "{key}");
    }
}

#[test]
fn what_is_no_ruleset_is_invalid() {
    let deep = format!("{{\"nftables\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    let many = json!({"nftables": vec![json!({"metainfo": {}}); COMMANDS_MAX + 1]}).to_string();
    for (ruleset, why) in [
        ("", "the ruleset is no JSON"),
        ("table inet transload_nat { }", "the ruleset is no JSON"),
        ("{\"nftables\": []} {\"nftables\": []}", "the ruleset is no JSON"),
        (&deep, "the ruleset is no JSON"),
        ("[]", "an object with one list of commands"),
        ("{\"nftables\": {}}", "an object with one list of commands"),
        ("{\"nftables\": [], \"more\": 1}", "an object with one list of commands"),
        (&many, "at most 16384 commands"),
        (&format!("{}{{\"nftables\": []}}", " ".repeat(RULESET_BYTES_MAX)), "at most 1048576 bytes"),
    ] {
        let fault = judge(ruleset, TABLE).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(fault.message.contains(why), "{fault}");
    }
}

/// Of two keys of one name the last one counts here, and only that one is passed on.
#[test]
fn a_key_that_stands_twice_is_judged_as_it_is_passed_on() {
    let twice = "{\"nftables\": [{\"add\": {\"table\": {\"family\": \"inet\", \"name\": \"filter\", \"name\": \"transload_nat\"}}}]}";
    assert_eq!(judge(twice, TABLE).unwrap(), [json!({"add": {"table": {"family": "inet", "name": "transload_nat"}}})]);
    let turned = twice.replace("\"filter\", \"name\": \"transload_nat\"", "\"transload_nat\", \"name\": \"filter\"");
    assert!(judge(&turned, TABLE).is_err());
}

const MATERIAL_TEXTS: &[&str] = &[
    "inet",
    "ip",
    TABLE,
    "filter",
    "c",
    "tcp",
    "new",
    "10.0.0.1",
    "a.attacker.test",
    "@s",
    "==",
    "accept",
    "iifname",
    "saddr",
    "state",
    "flags",
];
const MATERIAL_KEYS: &[&str] = &[
    "add", "flush", "rule", "chain", "ruleset", "family", "table", "name", "expr", "match", "op", "left", "right", "payload", "protocol",
    "field", "meta", "ct", "key", "set", "concat", "map", "data", "vmap", "dnat", "addr", "queue", "log", "dup", "jump", "target", "&",
    "elem", "val",
];

/// Trees of what rules are made of, and of what they must not be made of.
fn tree() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..100u8).prop_map(|number| json!(number)),
        proptest::sample::select(MATERIAL_TEXTS).prop_map(|text| json!(text)),
        // Whole ones, which chance would hardly make.
        Just(json!({"payload": {"protocol": "ip", "field": "saddr"}})),
        Just(json!({"meta": {"key": "iifname"}})),
        Just(json!({"ct": {"key": "state"}})),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let object = proptest::collection::btree_map(proptest::sample::select(MATERIAL_KEYS), inner.clone(), 1..4);
        prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::Array), object.prop_map(|object| json!(object))]
    })
}

/// What nobody may find in a rule that was let in: an action that reaches out, or a name that would be looked up.
fn reaches_out(value: &Value, beside_interface: bool) -> bool {
    match value {
        Value::String(text) => text == "a.attacker.test" && !beside_interface,
        Value::Array(parts) => parts.iter().any(|part| reaches_out(part, beside_interface)),
        Value::Object(object) => {
            let interface = ["left", "key"].iter().any(|side| object.get(*side) == Some(&json!({"meta": {"key": "iifname"}})));
            object.iter().any(|(key, inner)| {
                ["queue", "log", "dup", "ruleset"].contains(&key.as_str()) || reaches_out(inner, beside_interface || interface)
            })
        }
        _ => false,
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_a_rule_is_made_of_nothing_in_it_reaches_out(left in tree(), right in tree(), statement in tree(), command in tree()) {
        let mut let_in = Vec::new();
        for candidate in [compared(left.clone(), right.clone()), rule(json!({"vmap": {"key": left, "data": right}})), rule(statement), command] {
            let_in.extend(judged(json!([candidate])).unwrap_or_default());
        }
        for command in &let_in {
            proptest::prop_assert!(!reaches_out(command, false), "{command}");
            let object = command.as_object().and_then(|verb| verb.values().next()).and_then(|kind| kind.as_object()?.values().next());
            let own = object.and_then(|object| object.get("table").or(object.get("name")));
            proptest::prop_assert_eq!(own, Some(&json!(TABLE)), "{}", command);
        }
    }
}

/// The property above would hold of a judge that lets nothing in.
#[test]
fn interfaces_may_be_called_as_they_are() {
    let inward = json!({"meta": {"key": "iifname"}});
    let command = compared(inward, json!({"set": ["eth0", "a.attacker.test"]}));
    assert!(judged(json!([command.clone()])).is_ok() && !reaches_out(&command, false));
}
