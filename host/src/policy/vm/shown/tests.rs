use crate::model::{Fault, FaultKind};
use crate::policy::vm::command::{Command, Verdict, judge};
use crate::policy::vm::tests::{READY, START, conditions, in_order, success};
use crate::policy::vm::{Conditions, Fact, Running, Step};

use super::*;

struct Driven(Vm);

impl Driven {
    fn new() -> Driven {
        let mut vm = Vm::default();
        vm.apply(in_order().remove(0)).unwrap();
        Driven(vm)
    }

    fn after(cycles: usize) -> Driven {
        let mut driven = Driven::new();
        driven.until(|vm| vm.history.len() == cycles && vm.cycle.is_none());
        driven
    }

    fn until(&mut self, there: impl Fn(&Vm) -> bool) {
        let conditions: Conditions = conditions(READY);
        while !there(&self.0) {
            let step = self.0.next_steps(START, &conditions).remove(0);
            let fact = match (&step, success(&self.0, &step, START)) {
                (_, Some(Fact::Committed { mut point })) => {
                    point.last = self.0.cycle.as_ref().unwrap().urgency == Urgency::Final;
                    Fact::Committed { point }
                }
                (_, Some(fact)) => fact,
                (step, None) => panic!("{step:?} leads nowhere"),
            };
            self.0.apply(fact).unwrap();
        }
    }

    fn asks(&mut self, command: Command) -> &mut Driven {
        let Verdict::Accepted(facts) = judge(&self.0, &command, None, START) else { panic!("{command:?} is not accepted") };
        facts.into_iter().for_each(|fact| self.0.apply(fact).unwrap());
        self
    }

    fn opens(&mut self) -> &mut Driven {
        self.until(|vm| vm.cycle.as_ref().is_some_and(|cycle| matches!(cycle.stage, Stage::Open { disks: Some(_), .. })));
        self
    }

    fn fails(&mut self) -> &mut Driven {
        self.opens();
        self.0.apply(Fact::CycleFailed { fault: Fault::corrupt("broken"), at: START }).unwrap();
        self.until(|vm| vm.cycle.is_none());
        self
    }

    fn shown(&self) -> Replication {
        replication(&self.0, 42, None)
    }

    fn migrating(&self) -> Migrating {
        migration(&self.0).state
    }
}

#[test]
fn every_replication_state_of_the_seed_system_is_shown() {
    use Replication::*;
    let mut it = Driven::new();
    assert_eq!(it.shown(), InitialQueued);
    assert_eq!(it.opens().shown(), Initial { percent: 42 });
    it.asks(Command::Pause);
    assert_eq!(it.shown(), PauseInProgress);
    it.until(|vm| vm.next_steps(START, &conditions(READY)) == [Step::Wait { until: None }]);
    assert_eq!(it.shown(), Paused);
    it.asks(Command::Resume);
    assert_eq!(it.shown(), ResumeQueued);
    assert_eq!(it.opens().shown(), Resume { percent: 42 });
    it.until(|vm| vm.history.len() == 1);
    assert_eq!(it.shown(), DeltaSync);
    assert_eq!(it.opens().shown(), Delta { percent: 42 });
    it.fails();
    assert_eq!(it.shown(), RepairQueued);
    it.asks(Command::Repair);
    assert_eq!(it.opens().shown(), Repair { percent: 42 });
    it.until(|vm| vm.cycle.is_none());
    it.asks(Command::Resync);
    assert_eq!(it.shown(), ResyncQueued);
    assert_eq!(it.opens().shown(), Resync { percent: 42 });
    it.until(|vm| vm.cycle.is_none());
    it.0.apply(Fact::RepairChosen { repair: super::super::Repair::ByCommand }).unwrap();
    it.asks(Command::Sync).fails();
    assert_eq!(it.shown(), RepairNeeded);
    it.asks(Command::Stop { running: Running::Finish });
    assert_eq!(it.shown(), Stopping);
    for (kind, failed) in [(FaultKind::Unavailable, Stopping), (FaultKind::Denied, StopFailed)] {
        assert_eq!(replication(&it.0, 0, Some(&Fault::new(kind, ""))), failed);
    }
    it.until(Vm::is_stopped);
    assert_eq!(it.shown(), Stopped);
    it.asks(Command::Restart);
    assert_eq!(it.shown(), ResumeQueued);
    assert_eq!(Driven::new().fails().shown(), InitialFailed);
    let mut moved = Driven::after(2);
    moved.asks(Command::Final).until(Vm::has_final_point);
    moved.asks(Command::Complete);
    assert_eq!(moved.shown(), Completing);
    assert_eq!(replication(&moved.0, 0, Some(&Fault::denied(""))), CompleteFailed);
    moved.until(Vm::is_stopped);
    assert_eq!(moved.shown(), Done);
}

#[test]
fn every_migration_state_of_the_seed_system_is_shown() {
    use Migrating::*;
    let mut it = Driven::new();
    assert_eq!(it.migrating(), NotYet);
    it.until(|vm| vm.history.len() == 1);
    assert_eq!(it.migrating(), TestPending);
    let hour = |hours: i64| START + jiff::SignedDuration::from_hours(hours);
    it.0.apply(Fact::TestMigrationBegan { at: hour(1) }).unwrap();
    assert_eq!(it.migrating(), TestInProgress);
    let mut failed = Driven(it.0.clone());
    it.0.apply(Fact::TestMigrationEnded { fault: None, at: hour(2) }).unwrap();
    assert_eq!(it.migrating(), CleanUpPending);
    it.0.apply(Fact::TestMigrationCleanedUp { at: hour(3) }).unwrap();
    assert_eq!((it.migrating(), migration(&it.0).last_run), (ReadyToMigrate, Some(hour(2))));
    failed.0.apply(Fact::TestMigrationEnded { fault: Some(Fault::invalid("it does not boot")), at: hour(2) }).unwrap();
    failed.0.apply(Fact::TestMigrationCleanedUp { at: hour(3) }).unwrap();
    assert_eq!(failed.migrating(), Failed);
    it.asks(Command::Final);
    assert_eq!(it.migrating(), Queued);
    it.opens();
    assert_eq!(it.migrating(), InProgress);
    let mut broken = Driven(it.0.clone());
    broken.fails();
    assert_eq!(broken.migrating(), Failed);
    it.until(Vm::has_final_point);
    assert_eq!(it.migrating(), InProgress);
    it.0.apply(Fact::MigrationCommitted { at: hour(9) }).unwrap();
    assert_eq!((it.migrating(), migration(&it.0).last_run), (Completed, Some(hour(9))));
}
