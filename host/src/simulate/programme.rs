//! The programme as a row of events: who is due, who entered, what the line carried, who is through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use jiff::Timestamp;

use crate::policy::admission::{Kind, Standing};
use crate::policy::throttle::{Node, Rate};

use super::ages::Ages;
use super::fleet::{Cutover, Fleet, Host};
use super::line::{Line, Load, Moment};
use super::outcome::{Holding, Outcome, Quantity, WaveOutcome};
use super::places::Places;

/// How often it is asked what holds whom.
const LOOK_EVERY: Moment = 3_600_000;
const DAY: Moment = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The calendar answers something else from here on.
    CalendarTurns,
    Opened(u32),
    /// A copy is through, if nothing changed since it was foretold.
    LineEnds {
        appliance: u32,
        foretold: u64,
    },
    Closed(u32),
    Due(u32),
    Cutover(u32),
    Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not due, or not begun.
    Idle,
    Waiting,
    Running,
    Moved,
}

#[derive(Debug, Clone)]
struct Vm {
    phase: Phase,
    kind: Kind,
    final_demanded: bool,
    /// An event that was meant for before is passed over.
    due_at: Moment,
    began_at: Moment,
    taken_at: Option<Moment>,
    /// The snapshot of the newest recovery point, and when that was applied.
    point: Option<(Moment, Moment)>,
    deltas: u32,
}

#[derive(Debug, Clone, Default)]
struct WaveCount {
    machines: u32,
    pointed: u32,
    ready: u32,
    ready_at: Option<Moment>,
    moved: u32,
    cutover_at: Option<Moment>,
    moved_at: Option<Moment>,
    downtimes: Vec<Moment>,
    ages: Ages,
}

struct Appliance {
    line: Line,
    places: Places,
    foretold: u64,
}

/// Plays the whole programme.
pub fn run(fleet: &Fleet) -> Outcome {
    let mut programme = Programme::new(fleet);
    programme.play();
    programme.outcome()
}

struct Programme<'a> {
    fleet: &'a Fleet,
    now: Moment,
    /// Midnight UTC before the beginning, so that hours of the day are known.
    midnight: Timestamp,
    end: Moment,
    events: BinaryHeap<Reverse<(Moment, What)>>,
    vms: Vec<Vm>,
    waves: Vec<WaveCount>,
    appliances: Vec<Appliance>,
    /// Until when no cycle begins.
    blackout_until: Option<Moment>,
    held: Holding,
    cycles: u64,
}

impl<'a> Programme<'a> {
    fn new(fleet: &'a Fleet) -> Programme<'a> {
        let begin = fleet.begin.as_millisecond();
        let midnight = Timestamp::from_millisecond(begin - begin.rem_euclid(DAY as i64)).expect("a midnight before a moment is one");
        let start = begin.rem_euclid(DAY as i64) as Moment;
        let count = fleet.appliances as usize;
        let appliance = |number: usize| Appliance {
            line: Line::new(fleet.hosts.len()),
            places: Places::new(fleet, fleet.limits, |vm| vm % count == number),
            foretold: 0,
        };
        let idle = Vm {
            phase: Phase::Idle,
            kind: Kind::Initial,
            final_demanded: false,
            due_at: 0,
            began_at: 0,
            taken_at: None,
            point: None,
            deltas: 0,
        };
        let mut programme = Programme {
            fleet,
            now: start,
            midnight,
            end: start + fleet.horizon.0.as_millis() as Moment,
            events: BinaryHeap::new(),
            vms: vec![idle; fleet.machines.len()],
            waves: vec![WaveCount::default(); fleet.waves.len()],
            appliances: (0..count).map(appliance).collect(),
            blackout_until: None,
            held: Holding::default(),
            cycles: 0,
        };
        for (vm, machine) in fleet.machines.iter().enumerate() {
            programme.waves[machine.wave as usize].machines += 1;
            let begins = programme.moment(fleet.waves[machine.wave as usize].begin).max(start);
            programme.at(begins, What::Due(vm as u32));
        }
        for (number, wave) in fleet.waves.iter().enumerate() {
            if let Cutover::At(at) = wave.cutover {
                let at = programme.moment(at).max(start);
                programme.at(at, What::Cutover(number as u32));
            }
        }
        programme.at(start, What::CalendarTurns);
        programme.at(start + LOOK_EVERY, What::Look);
        programme
    }

    fn play(&mut self) {
        while let Some(Reverse((at, what))) = self.events.pop() {
            if at > self.end {
                break;
            }
            self.now = at;
            match what {
                What::CalendarTurns => self.calendar_turns(),
                What::Due(vm) => self.due(vm),
                What::Opened(vm) => self.opened(vm),
                What::LineEnds { appliance, foretold } => self.line_ends(appliance, foretold),
                What::Closed(vm) => self.closed(vm),
                What::Cutover(wave) => self.cutover(wave),
                What::Look => self.look(),
            }
        }
        self.now = self.end;
        for vm in 0..self.vms.len() {
            if self.vms[vm].phase != Phase::Moved {
                self.age(vm);
            }
        }
        for appliance in &mut self.appliances {
            appliance.line.take_ended(self.end);
        }
    }

    fn calendar_turns(&mut self) {
        let now = self.timestamp(self.now);
        let verdict = self.fleet.calendar.at(now);
        self.blackout_until = verdict.blackout.map(|blackout| blackout.until.map_or(self.end, |until| self.moment(until)));
        let send = [verdict.send.of(&Node::Appliance), verdict.send.each_sink, Some(self.fleet.line)];
        let width = send.into_iter().flatten().min().map_or(0.0, a_millisecond);
        // Hosts serve all appliances; each has its part of them.
        let part = self.appliances.len() as f64;
        let host = |host: &Host| {
            let rates = [verdict.read.of(&Node::Host(host.name.clone())), Some(host.read)];
            rates.into_iter().flatten().min().map_or(0.0, a_millisecond) / part
        };
        let hosts: Vec<f64> = self.fleet.hosts.iter().map(host).collect();
        for number in 0..self.appliances.len() {
            self.appliances[number].line.set_rates(self.now, width, &hosts);
            self.foretell(number);
        }
        if let Some(next) = verdict.next_change {
            self.at(self.moment(next).max(self.now + 1), What::CalendarTurns);
        }
        if let Some(until) = self.blackout_until {
            self.send_away(until);
        }
    }

    /// Nobody waits for a seat inside a window; what runs already is finished.
    fn send_away(&mut self, until: Moment) {
        let now = self.timestamp(self.now);
        for vm in 0..self.vms.len() as u32 {
            if self.vms[vm as usize].phase == Phase::Waiting {
                let appliance = self.appliance_of(vm);
                self.appliances[appliance].places.leave(vm, now);
                self.vms[vm as usize].phase = Phase::Idle;
                self.due_at(vm, until);
            }
        }
    }

    fn due(&mut self, vm: u32) {
        let machine = &mut self.vms[vm as usize];
        if machine.phase != Phase::Idle || self.now < machine.due_at {
            return;
        }
        if let Some(until) = self.blackout_until {
            return self.due_at(vm, until);
        }
        machine.phase = Phase::Waiting;
        machine.kind = match (machine.final_demanded, machine.point) {
            (true, _) => Kind::Final,
            (false, None) => Kind::Initial,
            (false, Some(_)) => Kind::Delta,
        };
        let (kind, standing) = (machine.kind, if machine.point.is_some() { Standing::Replicating } else { Standing::New });
        let (appliance, now) = (self.appliance_of(vm), self.timestamp(self.now));
        self.appliances[appliance].places.ask(vm, kind, standing, now);
        self.enter(appliance);
    }

    /// Who was given a seat begins.
    fn enter(&mut self, appliance: usize) {
        for vm in self.appliances[appliance].places.entered() {
            let costs = &self.fleet.cycle;
            let machine = &mut self.vms[vm as usize];
            machine.phase = Phase::Running;
            machine.began_at = self.now;
            let shutdown = if machine.kind == Kind::Final { millis(costs.shutdown.0) } else { 0 };
            let opened = self.now + shutdown + millis(costs.open.0);
            self.at(opened, What::Opened(vm));
        }
    }

    fn opened(&mut self, vm: u32) {
        let machine = &self.fleet.machines[vm as usize];
        let state = &mut self.vms[vm as usize];
        let read = match state.point {
            None => machine.kind.used as f64,
            Some((taken_at, _)) => machine.kind.churn.between(taken_at, self.now),
        };
        state.taken_at = Some(self.now);
        let preferred = state.kind == Kind::Final;
        let appliance = self.appliance_of(vm);
        let places = self.appliances[appliance].places.held(vm);
        let reach = a_millisecond(machine.kind.disk_read) * f64::from(places);
        let load = Load { vm, host: machine.host, read, reach, stored: machine.kind.stored, preferred };
        self.appliances[appliance].line.begin(self.now, load);
        self.foretell(appliance);
    }

    fn line_ends(&mut self, appliance: u32, foretold: u64) {
        let appliance = appliance as usize;
        if self.appliances[appliance].foretold != foretold {
            return;
        }
        let closes = self.now + millis(self.fleet.cycle.close.0);
        let now = self.timestamp(self.now);
        for vm in self.appliances[appliance].line.take_ended(self.now) {
            self.appliances[appliance].places.copied(vm, now);
            self.at(closes, What::Closed(vm));
        }
        self.foretell(appliance);
        self.enter(appliance);
    }

    /// When the next copy is through. What was foretold before does not count any more.
    fn foretell(&mut self, appliance: usize) {
        let foretelling = &mut self.appliances[appliance];
        foretelling.foretold += 1;
        let (foretold, next) = (foretelling.foretold, foretelling.line.next_end());
        if let Some(next) = next {
            self.at(next.max(self.now), What::LineEnds { appliance: appliance as u32, foretold });
        }
    }

    fn closed(&mut self, vm: u32) {
        self.cycles += 1;
        let (appliance, now) = (self.appliance_of(vm), self.timestamp(self.now));
        self.appliances[appliance].places.leave(vm, now);
        self.age(vm as usize);
        let state = &mut self.vms[vm as usize];
        let taken_at = state.taken_at.take().expect("a cycle that ends was opened");
        let first = state.point.is_none();
        state.point = Some((taken_at, self.now));
        state.phase = Phase::Idle;
        let (kind, took) = (state.kind, Duration::from_millis(self.now - state.began_at));
        state.deltas += u32::from(kind == Kind::Delta);
        let (deltas, demanded, began_at) = (state.deltas, state.final_demanded, state.began_at);
        let number = self.fleet.machines[vm as usize].wave;
        let wave = &mut self.waves[number as usize];
        wave.pointed += u32::from(first);
        if deltas == 1 && kind == Kind::Delta {
            wave.ready += 1;
            if wave.ready == wave.machines {
                wave.ready_at = Some(self.now);
                if self.fleet.waves[number as usize].cutover == Cutover::WhenReady {
                    self.at(self.now, What::Cutover(number));
                }
            }
        }
        let wave = &mut self.waves[number as usize];
        match kind {
            Kind::Final => {
                wave.moved += 1;
                wave.downtimes.push(self.now - began_at);
                if wave.moved == wave.machines {
                    wave.moved_at = Some(self.now);
                }
                self.vms[vm as usize].phase = Phase::Moved;
                self.appliances[appliance].places.forget(vm, now);
            }
            // The first delta follows at once, and a cutover waits for nothing.
            _ if first || demanded => self.due_at(vm, self.now),
            _ => self.due_at(vm, self.now + millis(self.fleet.interval.after(took))),
        }
        self.enter(appliance);
    }

    fn due_at(&mut self, vm: u32, at: Moment) {
        self.vms[vm as usize].due_at = at;
        self.at(at, What::Due(vm));
    }

    /// A cutover inside a blackout window is refused; here it is the first thing after it.
    fn cutover(&mut self, wave: u32) {
        if let Some(until) = self.blackout_until {
            self.at(until, What::Cutover(wave));
            return;
        }
        self.waves[wave as usize].cutover_at = Some(self.now);
        for vm in 0..self.vms.len() {
            if self.fleet.machines[vm].wave != wave {
                continue;
            }
            let state = &mut self.vms[vm];
            state.final_demanded = true;
            state.due_at = self.now;
            match state.phase {
                // One that has no recovery point yet makes one first.
                // Who waits already wishes otherwise from now on.
                Phase::Waiting | Phase::Idle if state.point.is_some() => {
                    state.phase = Phase::Idle;
                    self.due(vm as u32);
                }
                _ => {}
            }
        }
    }

    fn look(&mut self) {
        let day = (self.now / DAY) as u32;
        for (vm, state) in self.vms.iter().enumerate() {
            let places = &self.appliances[vm % self.appliances.len()].places;
            let held_by = match (state.phase, self.blackout_until) {
                (Phase::Waiting, _) => places.held_by(vm as u32),
                (Phase::Idle, Some(until)) if state.due_at == until => Some("a blackout window".to_owned()),
                _ => None,
            };
            if let Some(limit) = held_by {
                self.held.count(&limit, day, 1);
            }
        }
        self.at(self.now + LOOK_EVERY, What::Look);
    }

    /// The newest recovery point grew older until now.
    fn age(&mut self, vm: usize) {
        if let Some((taken_at, applied_at)) = self.vms[vm].point {
            let wave = self.fleet.machines[vm].wave;
            self.waves[wave as usize].ages.grew(applied_at - taken_at, self.now - taken_at);
        }
    }

    fn outcome(self) -> Outcome {
        let waves = self.waves.iter().zip(&self.fleet.waves).map(|(count, wave)| WaveOutcome {
            wave: wave.name.clone(),
            vms: count.machines,
            with_recovery_point: count.pointed,
            ready: count.ready,
            ready_at: count.ready_at.map(|at| self.timestamp(at)),
            moved: count.moved,
            cutover_at: count.cutover_at.map(|at| self.timestamp(at)),
            moved_at: count.moved_at.map(|at| self.timestamp(at)),
            downtime: Quantity::of(&count.downtimes),
            rpo: count.ages.quantiles(),
        });
        let mut ages = Ages::default();
        self.waves.iter().for_each(|wave| ages.add(&wave.ages));
        let carried: f64 = self.appliances.iter().map(|appliance| appliance.line.carried()).sum();
        Outcome {
            begin: self.fleet.begin,
            end: self.timestamp(self.end),
            waves: waves.collect(),
            rpo: ages.quantiles(),
            held: self.held.by_limit(&self.midnight),
            cycles: self.cycles,
            bytes_on_the_line: carried as u64,
            line_use: carried / (a_millisecond(self.fleet.line) * millis(self.fleet.horizon.0) as f64 * self.appliances.len() as f64),
        }
    }

    fn at(&mut self, at: Moment, what: What) {
        self.events.push(Reverse((at, what)));
    }

    fn appliance_of(&self, vm: u32) -> usize {
        vm as usize % self.appliances.len()
    }

    fn moment(&self, at: Timestamp) -> Moment {
        (at.as_millisecond() - self.midnight.as_millisecond()).max(0) as Moment
    }

    fn timestamp(&self, at: Moment) -> Timestamp {
        Timestamp::from_millisecond(self.midnight.as_millisecond() + at as i64).expect("a programme ends before time does")
    }
}

fn a_millisecond(rate: Rate) -> f64 {
    rate.bytes_per_second() as f64 / 1000.0
}

fn millis(span: Duration) -> Moment {
    span.as_millis() as Moment
}
