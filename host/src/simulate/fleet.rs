//! The fleet file of `transload simulate`: what is to be migrated, over what line, under which rules.
//!
//! ```toml
//! begin = "2026-12-01T08:00[Europe/Berlin]"
//! line = "1 Gbit/s"                # from each appliance to the store
//!
//! [[wave]]
//! name = "stateless"
//! cutover = "2026-12-12T22:00[Europe/Berlin]"     # left out: as soon as all of the wave are ready
//!
//! [[vms]]                          # so many alike; hosts and datastores are taken in turn
//! wave = "stateless"
//! count = 80
//! disks = ["60 GiB", "200 GiB"]
//! changed = "1 GiB"                # an hour
//! ```
//!
//! Rules that the agent has as well (`[limits]`, `[calendar]`, `[[blackout]]`, `[[throttle]]`, the interval's bounds) are written as in its configuration. Everything
//! that is wrong is said at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use crate::config::units::{Bytes, PerSecond, Span};
use crate::config::{BlackoutText, CalendarText, ConfigError, Limits as LimitsText, ThrottleText, calendar, strict};
use crate::policy::admission::Limits;
use crate::policy::calendar::Calendar;
use crate::policy::interval::Interval;
use crate::policy::throttle::Rate;

use super::churn::Churn;

/// A fleet whose parts are there and fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    pub begin: Timestamp,
    pub horizon: Span,
    pub line: Rate,
    pub appliances: u32,
    pub limits: Limits,
    pub interval: Interval,
    pub calendar: Calendar,
    pub cycle: CycleCosts,
    pub hosts: Vec<Host>,
    pub datastores: Vec<String>,
    pub waves: Vec<Wave>,
    pub machines: Vec<Machine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub read: Rate,
    /// Disks that may be read there at one time.
    pub disks: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    pub name: String,
    /// Replication of its VMs begins.
    pub begin: Timestamp,
    pub cutover: Cutover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutover {
    WhenReady,
    At(Timestamp),
    /// They stay replicated and are never moved.
    Never,
}

/// One VM. The others of its kind share the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub name: String,
    pub wave: u32,
    pub host: u32,
    /// One for each disk.
    pub datastores: Vec<u32>,
    pub kind: Arc<Kind>,
}

/// What VMs that are alike have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// Bytes that a first copy reads and finds something in, over all disks.
    pub used: u64,
    pub churn: Churn,
    /// Stored bytes for one byte read.
    pub stored: f64,
    /// What one disk delivers.
    pub disk_read: Rate,
}

/// What a cycle costs beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct CycleCosts {
    /// Until the snapshot stands and what changed is known.
    pub open: Span,
    /// Until the snapshot is consolidated and the receipt is there.
    pub close: Span,
    /// Until a guest is off, before a final cycle.
    pub shutdown: Span,
}

impl Default for CycleCosts {
    fn default() -> CycleCosts {
        CycleCosts { open: Span::seconds(30), close: Span::seconds(60), shutdown: Span::seconds(120) }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FleetText {
    begin: String,
    /// How long is looked ahead. A programme that is not over by then is shown as it stands.
    #[serde(default = "thirty_days")]
    horizon: Span,
    line: PerSecond,
    /// Gateways that share the work; VMs are dealt out to them in turn.
    #[serde(default = "one")]
    appliances: u32,
    #[serde(default)]
    limits: LimitsText,
    #[serde(default = "interval_min")]
    interval_min: Span,
    #[serde(default = "interval_max")]
    interval_max: Span,
    #[serde(default)]
    calendar: CalendarText,
    #[serde(default)]
    blackout: Vec<BlackoutText>,
    #[serde(default)]
    throttle: Vec<ThrottleText>,
    #[serde(default)]
    cycle: CycleCosts,
    #[serde(default, rename = "host")]
    hosts: Vec<HostText>,
    #[serde(default)]
    datastores: Vec<String>,
    #[serde(default, rename = "wave")]
    waves: Vec<WaveText>,
    vms: Vec<VmsText>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct HostText {
    name: String,
    /// What it delivers to everybody who reads there. Measured peers saturate an ESXi host at about 300 MiB/s.
    #[serde(default = "host_read")]
    read: PerSecond,
    /// Disks that are read there at one time. An ESXi host has 32 MiB for it and gives each disk 4.
    #[serde(default = "host_disks")]
    disks: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WaveText {
    name: String,
    begin: Option<String>,
    cutover: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct VmsText {
    /// One VM has this name; several have it with a number.
    name: Option<String>,
    #[serde(default = "one")]
    count: u32,
    wave: String,
    /// By name; all of them if left out.
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    datastores: Vec<String>,
    disks: Vec<Bytes>,
    /// Of a hundred bytes of a disk, so many are in use. Two thirds is what thin disks hold on average in the fleets that peers publish.
    #[serde(default = "used_percent")]
    used_percent: u8,
    /// Distinct bytes that change in an hour; one number, or one for each hour of a day, beginning at midnight UTC.
    changed: Option<ChangedText>,
    /// What `transload vm churn NAME --json` printed, beside the fleet file: recorded churn instead of `changed`.
    recorded: Option<String>,
    /// Of a hundred bytes read, so many are stored after compression.
    #[serde(default = "stored_percent")]
    stored_percent: u8,
    /// What one disk delivers. Warm copies of peers reach 75 MB/s a disk; a pipelined reader reaches twice that.
    #[serde(default = "disk_read")]
    disk_read: PerSecond,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum ChangedText {
    Always(Bytes),
    ByHour(Vec<Bytes>),
}

fn thirty_days() -> Span {
    Span::seconds(30 * 24 * 3600)
}

fn one() -> u32 {
    1
}

fn interval_min() -> Span {
    Span(Interval::default().shortest)
}

fn interval_max() -> Span {
    Span(Interval::default().longest)
}

fn host_read() -> PerSecond {
    mib_per_second(300)
}

fn host_disks() -> u32 {
    8
}

fn disk_read() -> PerSecond {
    mib_per_second(150)
}

fn mib_per_second(mib: u64) -> PerSecond {
    PerSecond(mib << 20)
}

fn rate(what: &str, given: PerSecond, wrong: &mut Vec<String>) -> Rate {
    Rate::bytes(given.0).unwrap_or_else(|| {
        wrong.push(format!("{what} is nothing: at no rate nothing is ever ready"));
        Rate::bytes(1).expect("one is more than nothing")
    })
}

fn used_percent() -> u8 {
    66
}

fn stored_percent() -> u8 {
    50
}

/// More VMs than any one programme has: a slip of the finger, not a wish.
const MACHINES_MAX: usize = 100_000;

impl Fleet {
    pub fn read(path: &Path) -> Result<Fleet, ConfigError> {
        let failed = |wrong| ConfigError { file: Some(path.to_owned()), wrong };
        let text = std::fs::read_to_string(path).map_err(|error| failed(vec![format!("it cannot be read: {error}")]))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let recorded = |name: &str| {
            let file = folder.join(name);
            std::fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
        };
        Fleet::parse(&text, recorded).map_err(failed)
    }

    /// `recorded`: the text of a file that the fleet names.
    pub fn parse(text: &str, recorded: impl Fn(&str) -> Result<String, String>) -> Result<Fleet, Vec<String>> {
        let text: FleetText = strict::parse(text)?;
        let mut wrong = Vec::new();
        let fleet = text.check(&recorded, &mut wrong);
        if wrong.is_empty() { Ok(fleet) } else { Err(wrong) }
    }
}

impl FleetText {
    fn check(self, recorded: &dyn Fn(&str) -> Result<String, String>, wrong: &mut Vec<String>) -> Fleet {
        let begin = moment("begin", &self.begin, wrong);
        let line = rate("line", self.line, wrong);
        wrong.extend(self.limits.check());
        let limits = Limits {
            vms: self.limits.vms,
            disks: self.limits.disks,
            datastore_snapshots: self.limits.disk_snapshots_per_datastore,
            host_disks: self.limits.disks_per_host,
            ..Limits::default()
        };
        let interval = Interval { shortest: self.interval_min.0, longest: self.interval_max.0 };
        let calendar = calendar(self.calendar, self.blackout, self.throttle, wrong);
        if self.appliances == 0 {
            wrong.push("appliances must be at least 1".to_owned());
        }
        let hosts = match self.hosts.is_empty() {
            true => vec![HostText { name: "host".to_owned(), read: host_read(), disks: host_disks() }],
            false => self.hosts,
        };
        let hosts: Vec<Host> = hosts.into_iter().map(|host| host.check(wrong)).collect();
        let datastores = if self.datastores.is_empty() { vec!["datastore".to_owned()] } else { self.datastores };
        let host_numbers = numbered("host", hosts.iter().map(|host| host.name.as_str()), wrong);
        let datastore_numbers = numbered("datastore", datastores.iter().map(String::as_str), wrong);
        let wave_numbers = numbered("wave", self.waves.iter().map(|wave| wave.name.as_str()), wrong);
        let mut machines = Vec::new();
        for vms in &self.vms {
            let Some(wave) = wave_numbers.get(vms.wave.as_str()) else {
                wrong.push(format!("[[vms]] is of wave {:?}, but there is no such wave", vms.wave));
                continue;
            };
            let on_hosts = chosen("host", &vms.hosts, &host_numbers, wrong);
            let on_datastores = chosen("datastore", &vms.datastores, &datastore_numbers, wrong);
            if machines.len() + vms.count as usize > MACHINES_MAX {
                wrong.push(format!("there are more than {MACHINES_MAX} VMs"));
                break;
            }
            if let Some(kind) = vms.kind(recorded, wrong)
                && !on_hosts.is_empty()
                && !on_datastores.is_empty()
            {
                vms.machines(*wave, &on_hosts, &on_datastores, kind, &mut machines);
            }
        }
        let waves = self.waves.iter().map(|wave| wave.check(begin, wrong)).collect();
        Fleet {
            begin,
            horizon: self.horizon,
            line,
            appliances: self.appliances,
            limits,
            interval,
            calendar,
            cycle: self.cycle,
            hosts,
            datastores,
            waves,
            machines,
        }
    }
}

impl HostText {
    fn check(self, wrong: &mut Vec<String>) -> Host {
        if self.disks == 0 {
            wrong.push(format!("host {:?}: disks must be at least 1", self.name));
        }
        Host { read: rate(&format!("read of host {:?}", self.name), self.read, wrong), name: self.name, disks: self.disks }
    }
}

impl WaveText {
    fn check(&self, begin: Timestamp, wrong: &mut Vec<String>) -> Wave {
        let begin = self.begin.as_ref().map_or(begin, |text| moment("begin", text, wrong));
        let cutover = match self.cutover.as_deref() {
            None | Some("when-ready") => Cutover::WhenReady,
            Some("never") => Cutover::Never,
            Some(text) => Cutover::At(moment("cutover", text, wrong)),
        };
        Wave { name: self.name.clone(), begin, cutover }
    }
}

impl VmsText {
    fn kind(&self, recorded: &dyn Fn(&str) -> Result<String, String>, wrong: &mut Vec<String>) -> Option<Arc<Kind>> {
        let before = wrong.len();
        let name = self.name.as_deref().unwrap_or(&self.wave);
        if self.disks.is_empty() {
            wrong.push(format!("[[vms]] {name:?} have no disks"));
        }
        if self.used_percent > 100 {
            wrong.push(format!("[[vms]] {name:?}: used-percent is more than 100"));
        }
        let size: u64 = self.disks.iter().map(|disk| disk.0).sum();
        let used = size / 100 * u64::from(self.used_percent);
        let churn = match (&self.changed, &self.recorded) {
            (Some(_), Some(_)) => Err(format!("[[vms]] {name:?} have both changed and recorded: one of them counts")),
            (None, None) => Err(format!("[[vms]] {name:?} have neither changed nor recorded: how much changes in an hour?")),
            (Some(ChangedText::Always(bytes)), None) => Ok(Churn::by_hour([bytes.0; 24], used)),
            (Some(ChangedText::ByHour(hours)), None) => {
                match <[u64; 24]>::try_from(hours.iter().map(|bytes| bytes.0).collect::<Vec<_>>()) {
                    Ok(hours) => Ok(Churn::by_hour(hours, used)),
                    Err(_) => Err(format!("[[vms]] {name:?}: changed has {} numbers; give one, or one for each of 24 hours", hours.len())),
                }
            }
            (None, Some(file)) => recorded(file).and_then(|text| Churn::recorded(&text, used)),
        };
        let churn = churn.map_err(|why| wrong.push(why)).ok()?;
        let stored = f64::from(self.stored_percent) / 100.0;
        let disk_read = rate(&format!("disk-read of {name:?}"), self.disk_read, wrong);
        (wrong.len() == before).then(|| Arc::new(Kind { used, churn, stored, disk_read }))
    }

    fn machines(&self, wave: u32, hosts: &[u32], datastores: &[u32], kind: Arc<Kind>, machines: &mut Vec<Machine>) {
        let name = self.name.as_deref().unwrap_or(&self.wave);
        for number in 0..self.count as usize {
            let disk_place = |disk: usize| datastores[(number + disk) % datastores.len()];
            machines.push(Machine {
                name: if self.count == 1 { name.to_owned() } else { format!("{name}-{:04}", number + 1) },
                wave,
                host: hosts[number % hosts.len()],
                datastores: (0..self.disks.len()).map(disk_place).collect(),
                kind: kind.clone(),
            });
        }
    }
}

/// A moment with its zone, "2026-12-01T08:00[Europe/Berlin]", or in UTC, "2026-12-01T07:00:00Z".
fn moment(what: &str, text: &str, wrong: &mut Vec<String>) -> Timestamp {
    let parsed = text.parse::<Zoned>().map(|zoned| zoned.timestamp()).or_else(|_| text.parse::<Timestamp>());
    parsed.unwrap_or_else(|_| {
        wrong.push(format!("{what} = {text:?} is no moment: write \"2026-12-01T08:00[Europe/Berlin]\", or \"2026-12-01T07:00:00Z\""));
        Timestamp::UNIX_EPOCH
    })
}

fn numbered<'a>(what: &str, names: impl Iterator<Item = &'a str>, wrong: &mut Vec<String>) -> BTreeMap<String, u32> {
    let mut numbers = BTreeMap::new();
    for (number, name) in names.enumerate() {
        if numbers.insert(name.to_owned(), number as u32).is_some() {
            wrong.push(format!("{what} {name:?} is listed twice"));
        }
    }
    numbers
}

fn chosen(what: &str, names: &[String], numbers: &BTreeMap<String, u32>, wrong: &mut Vec<String>) -> Vec<u32> {
    if names.is_empty() {
        return numbers.values().copied().collect();
    }
    let find = |name: &String| match numbers.get(name) {
        Some(number) => Some(*number),
        None => {
            wrong.push(format!("[[vms]] are on {what} {name:?}, but there is no such {what}"));
            None
        }
    };
    names.iter().filter_map(find).collect()
}
