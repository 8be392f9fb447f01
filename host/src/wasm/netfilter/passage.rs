//! How many rules the kernel may have to walk for one packet. Chains that jump to chains multiply: a hundred rules can be written that take
//! it hours, and it walks the same paths while it takes a ruleset in, with everybody else's changes waiting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expression::entry;

/// As many as the longest ruleset has without a jump, several times over.
const PASSED_MAX: u64 = 100_000;
/// The kernel follows no more jumps than this.
const DEPTH_MAX: usize = 16;

/// Where a rule or a map may lead: chains, and maps that lead on.
#[derive(Default)]
struct Leads<'a> {
    chains: Vec<&'a str>,
    maps: Vec<&'a str>,
}

#[derive(Default)]
struct Graph<'a> {
    rules: BTreeMap<&'a str, Vec<Leads<'a>>>,
    maps: BTreeMap<&'a str, Leads<'a>>,
}

/// Says why not.
pub fn check(commands: &[Value]) -> Result<(), String> {
    let graph = Graph::of(commands);
    let mut known = BTreeMap::new();
    for chain in graph.rules.keys() {
        if graph.passed(chain, 0, &mut known)? > PASSED_MAX {
            return Err(format!(
                "a packet could pass more than {PASSED_MAX} rules from the chain {chain:?} on: let fewer chains jump to others"
            ));
        }
    }
    Ok(())
}

impl<'a> Graph<'a> {
    fn of(commands: &'a [Value]) -> Graph<'a> {
        let mut graph = Graph::default();
        for (kind, object) in commands.iter().filter_map(|command| entry(entry(command)?.1)) {
            let named = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
            match kind {
                "rule" => {
                    let mut leads = Leads::default();
                    leads.read(object);
                    graph.rules.entry(named("chain")).or_default().push(leads);
                }
                "set" | "map" | "element" => graph.maps.entry(named("name")).or_default().read(object),
                _ => {}
            }
        }
        graph
    }

    /// Rules that may be walked from the beginning of a chain, those of the chains that it leads to each time anew.
    fn passed(&self, chain: &'a str, depth: usize, known: &mut BTreeMap<&'a str, u64>) -> Result<u64, String> {
        if let Some(passed) = known.get(chain) {
            return Ok(*passed);
        }
        if depth > DEPTH_MAX {
            return Err(format!("its chains lead to each other over more than {DEPTH_MAX} jumps"));
        }
        let mut all = 0u64;
        for rule in self.rules.get(chain).into_iter().flatten() {
            let by_map = rule.maps.iter().filter_map(|map| self.maps.get(map)).flat_map(|map| &map.chains);
            all = all.saturating_add(1);
            for next in rule.chains.iter().chain(by_map) {
                all = all.saturating_add(self.passed(next, depth + 1, known)?);
            }
        }
        known.insert(chain, all);
        Ok(all)
    }
}

impl<'a> Leads<'a> {
    fn read(&mut self, value: &'a Value) {
        match value {
            Value::String(text) => self.maps.extend(text.strip_prefix('@')),
            Value::Array(parts) => parts.iter().for_each(|part| self.read(part)),
            Value::Object(object) => {
                for (key, inner) in object {
                    match key.as_str() {
                        "jump" | "goto" => self.chains.extend(inner.get("target").and_then(Value::as_str)),
                        _ => self.read(inner),
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(chain: &str, expr: Value) -> Value {
        json!({"add": {"rule": {"family": "inet", "table": "t", "chain": chain, "expr": [expr]}}})
    }

    fn jump(to: &str) -> Value {
        json!({"jump": {"target": to}})
    }

    /// So many chains, each with so many jumps to the next.
    fn ladder(chains: usize, jumps: usize) -> Vec<Value> {
        let step = |n: usize| (0..jumps).map(move |_| rule(&format!("c{n}"), jump(&format!("c{}", n + 1))));
        (0..chains).flat_map(step).chain([rule(&format!("c{chains}"), json!({"accept": null}))]).collect()
    }

    #[test]
    fn a_ladder_of_jumps_is_refused_where_it_grows_too_high() {
        assert_eq!(check(&ladder(4, 10)), Ok(()));
        let said = check(&ladder(12, 10)).unwrap_err();
        assert!(said.starts_with("a packet could pass more than 100000 rules from the chain \"c"), "{said}");
        assert_eq!(check(&ladder(20, 1)).unwrap_err(), "its chains lead to each other over more than 16 jumps");
    }

    #[test]
    fn a_map_of_verdicts_leads_wherever_its_elements_do() {
        let element =
            |to: &str| json!({"add": {"element": {"family": "inet", "table": "t", "name": "m", "elem": [["192.0.2.1", jump(to)]]}}});
        let looked_up = rule("base", json!({"vmap": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "data": "@m"}}));
        assert_eq!(check(&[vec![element("c0"), looked_up.clone()], ladder(3, 10)].concat()), Ok(()));
        let said = check(&[vec![element("c0"), looked_up], ladder(5, 10)].concat()).unwrap_err();
        assert!(said.contains("from the chain \"base\" on"), "{said}");
    }

    #[test]
    fn chains_that_lead_to_each_other_are_refused() {
        assert!(check(&[rule("a", jump("b")), rule("b", jump("a"))]).is_err());
    }

    #[test]
    fn the_longest_ruleset_without_a_jump_passes() {
        let many: Vec<Value> = (0..16_384).map(|_| rule("a", json!({"counter": null}))).collect();
        assert_eq!(check(&many), Ok(()));
    }
}
