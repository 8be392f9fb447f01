//! What is played: drawn from a seed, or written down by a test.

use std::time::Duration;

use transload::driver::retention;
use transload::journal::FACTS_KEPT;

use crate::further::FurtherPlan;
use crate::rivalry;
use crate::sink::SinkTrouble;
use crate::source::SourceTrouble;
use crate::weather::Weather;
use crate::world::World;

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Recovery points to reach.
    pub points: usize,
    /// Processes that die before the one that may live.
    pub crashes: u64,
    /// A process dies after at most so many effects.
    pub fuse: u64,
    /// Or after exactly so many.
    pub die_at: Option<u64>,
    pub sizes: Vec<u64>,
    pub sink: SinkTrouble,
    pub source: SourceTrouble,
    /// What may happen to the VM between cycles, beside writes.
    pub reshape: bool,
    /// After which crash the appliance is lost with its journal, if at all.
    pub lose_appliance: Option<u64>,
    /// Whether puts take time, so that the receiver fills while the gateway still reads.
    pub paced: bool,
    /// How often a flush of a replica fails.
    pub flush_fails: f64,
    /// Commands that an operator gives, at moments that nobody would choose.
    pub commands: u64,
    pub further: Vec<FurtherPlan>,
    /// Bytes of a disk and delta that are read again.
    pub distrust: u64,
    pub weather: Weather,
    /// Another agent that believes it owns the VM, and when it begins to.
    pub rival: Option<Duration>,
    /// Recovery points that need not be kept are dropped meanwhile, if at all.
    pub retention: Option<retention::Settings>,
    /// Facts behind a snapshot of the journal.
    pub facts_kept: u64,
}

impl Plan {
    /// Everything that can be drawn, drawn from the seed.
    pub fn from_seed(seed: u64) -> Plan {
        let world = World::new(seed ^ 0x5eed);
        let mib = 1024 * 1024;
        let count = 1 + world.below(3);
        let sizes = (0..count).map(|_| (1 + world.below(5)) * mib + world.below(mib / 512) * 512).collect();
        let often = world.chance(0.3);
        let some = |probability: f64| if often { probability } else { probability / 10.0 };
        let crashes = world.below(6);
        Plan {
            seed,
            points: 3 + world.below(3) as usize,
            crashes,
            fuse: 40 + world.below(700),
            die_at: None,
            sizes,
            sink: SinkTrouble { refused: some(0.02), reply_lost: some(0.03), damaged: some(0.02), doubled: some(0.05) },
            source: SourceTrouble {
                reply_lost: some(0.1),
                read_fails: some(0.05),
                snapshot_lost: some(0.02),
                login_expires: some(0.03),
                page_dropped: some(0.02),
                doubled: some(0.1),
            },
            reshape: world.chance(0.4),
            lose_appliance: (crashes > 0 && world.chance(0.3)).then(|| world.below(crashes)),
            paced: world.chance(0.5),
            flush_fails: if world.chance(0.2) { 0.05 } else { 0.0 },
            commands: 0,
            further: Vec::new(),
            distrust: World::new(seed ^ 0xd157).below(40) * 65_536,
            weather: Weather::from_seed(seed),
            rival: rivalry::from_seed(seed),
            retention: None,
            facts_kept: FACTS_KEPT,
        }
    }

    /// The same history with an operator in it, and with puts that take time, so that he finds copies under way.
    pub fn with_an_operator(seed: u64) -> Plan {
        // Who was told to stop looks after no VM, and so never sees that another agent has it.
        Plan { commands: 4 + seed % 13, paced: true, rival: None, ..Plan::from_seed(seed) }
    }

    /// Nothing goes wrong.
    pub fn calm(sizes: Vec<u64>, points: usize) -> Plan {
        Plan {
            seed: 1,
            points,
            crashes: 0,
            fuse: 0,
            die_at: None,
            sizes,
            sink: SinkTrouble::default(),
            source: SourceTrouble::default(),
            reshape: false,
            lose_appliance: None,
            paced: false,
            flush_fails: 0.0,
            commands: 0,
            further: Vec::new(),
            distrust: 0,
            weather: Weather::default(),
            rival: None,
            retention: None,
            facts_kept: FACTS_KEPT,
        }
    }
}
