//! The `netfilter` import: one nftables table, filled anew as a whole.
//!
//! ```text
//!   the guest's commands ─▶ ruleset: each one inside the table? ─▶ add table, delete table, add table, commands ─▶ nft -j -f -
//!                            what is not known to be is denied       one transaction: all of it, or nothing
//! ```
//!
//! The table's name comes from the grant, `nft` from a fixed place, and nothing of the guest reaches a command line, an environment or a
//! shell.

mod expression;
mod literal;
mod nft;
mod passage;
mod ruleset;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::bindings::netfilter;
use super::state::{InstanceState, Refusal};
use super::trouble::Mishap;
use crate::model::Fault;

/// Every granted table is in this family: IPv4 and IPv6 alike.
const FAMILY: &str = "inet";

/// The table of one plugin.
#[derive(Debug)]
pub struct Table {
    name: String,
    nft: PathBuf,
}

impl Table {
    pub fn of(name: &str) -> Result<Table, String> {
        Ok(Table { name: name.to_owned(), nft: nft::find()? })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces what is in the table. Answers how many commands that took.
    pub async fn apply(&self, ruleset: &str) -> Result<usize, Fault> {
        let commands = ruleset::judge(ruleset, &self.name)?;
        let (count, table) = (commands.len(), self.object());
        // Deleting needs a table that is there; adding one that is there changes nothing.
        let anew = [json!({"add": table.clone()}), json!({"delete": table.clone()}), json!({"add": table})];
        let whole: Vec<Value> = anew.into_iter().chain(commands).collect();
        // Without a line's end: should nft take this for its other language after all, it is one line that comes to nothing.
        nft::run(&self.nft, &["-j", "-f", "-"], json!({"nftables": whole}).to_string(), 0)
            .await
            .map_err(|failed| failed.fault(&self.name))?;
        Ok(count)
    }

    /// On a bad day nothing is done, or nobody hears that it was.
    async fn apply_on(&self, mishap: Option<Mishap>, ruleset: &str) -> Result<usize, Fault> {
        match mishap {
            None => self.apply(ruleset).await,
            Some(Mishap::Busy | Mishap::Lost) => Err(Fault::unavailable("nft was not reached: for this trial")),
            Some(Mishap::Unanswered | Mishap::Cut) => {
                self.apply(ruleset).await?;
                Err(Fault::unavailable("what nft answered was lost: for this trial"))
            }
        }
    }

    /// The table as it is now, in at most so many bytes. One that is not there has nothing in it.
    pub async fn rules(&self, bytes_max: u64) -> Result<String, Fault> {
        let arguments = ["-j", "list", "table", FAMILY, &self.name];
        match nft::run(&self.nft, &arguments, String::new(), bytes_max).await {
            Ok(listing) => Ok(listing),
            Err(nft::Failed::Missing) => Ok(json!({"nftables": []}).to_string()),
            Err(failed) => Err(failed.fault(&self.name)),
        }
    }

    fn object(&self) -> Value {
        json!({"table": {"family": FAMILY, "name": self.name}})
    }
}

impl netfilter::Host for InstanceState {
    async fn apply(&mut self, ruleset: String) -> Result<(), Refusal> {
        self.may_reach()?;
        let plugin = self.plugin.clone();
        let table = plugin.table()?;
        let commands = table.apply_on(plugin.mishap(), &ruleset).await?;
        tracing::info!(plugin = plugin.name(), table = table.name(), commands, "a plugin filled its nftables table anew");
        Ok(())
    }

    async fn rules(&mut self) -> Result<String, Refusal> {
        self.may_reach()?;
        let plugin = self.plugin.clone();
        let table = plugin.table()?;
        if plugin.mishap().is_some() {
            return Err(Fault::unavailable("nft was not reached: for this trial").into());
        }
        Ok(table.rules(plugin.limits().response).await?)
    }
}

#[cfg(test)]
mod tests;
