//! `[retention]`: which recovery points are kept.

use serde::Deserialize;

use super::units::Span;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Retention {
    /// Whether points go by themselves. Without it they stay until `transload prune`.
    pub automatic: bool,
    /// All points that are at most so much older than the newest one. What went wrong in a guest is mostly noticed within a day.
    pub recent: Span,
    /// And the last point of each of so many days before that: what was noticed after a weekend or a holiday.
    pub days: u32,
    /// So many of the newest points whatever their age: a clock that jumped ahead must not leave a single one.
    pub at_least: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { automatic: true, recent: Span::seconds(24 * 3600), days: 7, at_least: 3 }
    }
}

impl Retention {
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.at_least == 0 {
            wrong.push("[retention] at-least must be at least 1: without a recovery point there is nothing to go back to".to_owned());
        }
        if self.days > 366 {
            wrong.push(
                "[retention] days must be at most 366: each day's point costs a checkpoint, and a migration ends; pin what must stay"
                    .to_owned(),
            );
        }
        wrong
    }
}
