//! Wall time and the CPU time of this process, in seconds.

use rustix::time::{ClockId, clock_gettime};

/// What something cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub wall: f64,
    pub cpu: f64,
}

pub struct Watch {
    wall: f64,
    cpu: f64,
}

impl Watch {
    pub fn start() -> Watch {
        Watch { wall: seconds(ClockId::Monotonic), cpu: seconds(ClockId::ProcessCPUTime) }
    }

    pub fn stop(self) -> Cost {
        Cost { wall: seconds(ClockId::Monotonic) - self.wall, cpu: seconds(ClockId::ProcessCPUTime) - self.cpu }
    }
}

fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn cpu(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.cpu).collect())
}

pub fn wall(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.wall).collect())
}

/// The median over the rounds of what `above` cost against what `below` cost in the same round.
pub fn ratio(above: &[Cost], below: &[Cost], what: impl Fn(&Cost) -> f64) -> f64 {
    median(above.iter().zip(below).map(|(above, below)| what(above) / what(below)).collect())
}
