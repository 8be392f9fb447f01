//! The suite `tidy`: every house rule is a test.

use anyhow::Result;

use super::tally::Tally;
use crate::tidy::{RULES, Tree};
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let tree = Tree::read(&workspace.root)?;
    for rule in RULES {
        let breaks = (rule.check)(&tree);
        for found in &breaks {
            println!("{found}");
        }
        let outcome = match breaks.len() {
            0 => Ok(()),
            many => Err(anyhow::anyhow!("{many} found; the rule: {}", rule.says)),
        };
        tally.check(&format!("tidy::{}", rule.name), outcome);
    }
    Ok(())
}
