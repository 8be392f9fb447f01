//! What was measured, by name; written as one JSON object.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

#[derive(Default)]
pub struct Report(Map<String, Value>);

impl Report {
    /// Says it, and keeps it.
    pub fn set(&mut self, name: &str, value: Value) {
        eprintln!("  {name} = {value}");
        self.0.insert(name.to_owned(), value);
    }

    /// Three decimals are more than a shared machine can repeat.
    pub fn ratio(&mut self, name: &str, value: f64) {
        self.set(name, json!((value * 1000.0).round() / 1000.0));
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub fn text(&self) -> String {
        format!("{:#}\n", Value::Object(self.0.clone()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.text()).with_context(|| format!("{} cannot be written", path.display()))
    }
}
