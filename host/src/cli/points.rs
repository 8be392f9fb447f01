//! Recovery points, and plans to drop some, as people read them.

use std::fmt::Write;

use crate::api::command::Pruned;
use crate::driver::retention::{Outcome, PointKept};
use crate::policy::retention::{Kept, Reason, Standing};

use super::print::{bytes, plain};

pub fn table(vm: &str, points: &[PointKept]) -> String {
    let mut out = format!("{}: {}\n", plain(vm), counted(points.len(), "recovery point"));
    for point in points {
        let verified = if point.verified { "verified" } else { "" };
        let why = if point.why.is_empty() { "not kept: goes with the next prune".to_owned() } else { reasons(&point.why) };
        let _ =
            writeln!(out, "  {:>6}  {:<20}  {:>10}  {verified:<8}  {why}", point.cycle, shown(point.taken_at), bytes(point.stored_bytes));
    }
    out
}

/// What is done, or would be done.
pub fn pruned(pruned: &Pruned) -> String {
    let (plan, freed) = (&pruned.plan.plan, &pruned.plan.freed);
    let mut out = format!("{}: plan {}\n", plain(&pruned.vm), pruned.id);
    for Kept { cycle, taken_at, standing, why } in &plan.kept {
        let standing = if *standing == Standing::Applied { "" } else { " (no recovery point)" };
        let _ = writeln!(out, "  keep  {cycle:>6}  {:<20}  {}{standing}", shown(*taken_at), reasons(why));
    }
    for dropped in &plan.dropped {
        let standing = if dropped.standing == Standing::Applied { "" } else { "it was never a recovery point" };
        let _ = writeln!(out, "  drop  {:>6}  {:<20}  {standing}", dropped.cycle, shown(dropped.taken_at));
    }
    for cycle in &plan.checkpoints {
        let _ = writeln!(out, "  first a checkpoint of {cycle}, because what it builds on goes");
    }
    let debt = if freed.debt_bytes > 0 {
        format!("; up to {} stay as parts of segments that are needed", bytes(freed.debt_bytes))
    } else {
        String::new()
    };
    let sum = |what: &str, objects: u64, count: u64| format!("{what} {} with {}", counted(objects as usize, "object"), bytes(count));
    let _ = match &pruned.outcome {
        None => writeln!(
            out,
            "  {}{debt}. Nothing was changed. To do it: transload prune {} --plan {}",
            sum("frees", freed.objects, freed.bytes),
            plain(&pruned.vm),
            pruned.id
        ),
        Some(Outcome::Done(done)) => writeln!(out, "  {}{debt}.", sum("freed", done.objects, done.bytes)),
        Some(Outcome::Waits { readers }) => {
            writeln!(out, "  dropped; the objects go when these have ended: {}. The agent does it by itself.", plain(&readers.join(", ")))
        }
    };
    out
}

fn reasons(why: &[Reason]) -> String {
    plain(&why.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// To the second: nobody tells points apart by less.
fn shown(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
