//! The line out of one appliance, shared by the cycles that copy just now.
//!
//! Bytes flow like water: between two changes each copy has a constant rate. A copy takes no more than its source's host and its own disks
//! deliver, and the rest of the line is shared evenly, which is what the agent's buckets come to over more than a second. While a final
//! cycle copies, the others stand still, as they are parked then.

/// Milliseconds since the beginning.
pub type Moment = u64;

/// A copy under way.
#[derive(Debug, Clone, PartialEq)]
struct Flow {
    vm: u32,
    host: u32,
    /// Bytes that are still to be carried.
    left: f64,
    /// Bytes a millisecond that its own disks deliver, as they are on the line.
    reach: f64,
    /// Bytes on the line for one byte that the host delivers.
    stored: f64,
    preferred: bool,
    rate: f64,
}

/// What is to be carried, and how fast its source is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub vm: u32,
    pub host: u32,
    /// Bytes that are read.
    pub read: f64,
    /// Bytes a millisecond that the VM's own disks deliver.
    pub reach: f64,
    /// Bytes on the line for one byte read.
    pub stored: f64,
    /// Others stand still while it copies.
    pub preferred: bool,
}

#[derive(Debug, Clone)]
pub struct Line {
    /// Bytes a millisecond.
    width: f64,
    flows: Vec<Flow>,
    /// What each host delivers, in bytes a millisecond.
    hosts: Vec<f64>,
    /// Copies on each host: that share what it delivers.
    on_host: Vec<u32>,
    counted_at: Moment,
    carried: f64,
    /// Reused: the order in which copies are served.
    order: Vec<u32>,
}

impl Line {
    /// Nothing flows before `set_rates`.
    pub fn new(hosts: usize) -> Line {
        Line {
            width: 0.0,
            flows: Vec::new(),
            hosts: vec![0.0; hosts],
            on_host: vec![0; hosts],
            counted_at: 0,
            carried: 0.0,
            order: Vec::new(),
        }
    }

    /// Bytes that have gone through it.
    pub fn carried(&self) -> f64 {
        self.carried
    }

    /// Bytes a millisecond: of the line, and of each host.
    pub fn set_rates(&mut self, now: Moment, width: f64, hosts: &[f64]) {
        self.flow_until(now);
        self.width = width;
        self.hosts.copy_from_slice(hosts);
        self.share();
    }

    pub fn begin(&mut self, now: Moment, load: Load) {
        self.flow_until(now);
        let Load { vm, host, read, reach, stored, preferred } = load;
        self.on_host[host as usize] += 1;
        self.flows.push(Flow { vm, host, left: read * stored, reach: reach * stored, stored, preferred, rate: 0.0 });
        self.share();
    }

    /// The copies that are through by now.
    pub fn take_ended(&mut self, now: Moment) -> Vec<u32> {
        self.flow_until(now);
        let mut ended = Vec::new();
        let on_host = &mut self.on_host;
        self.flows.retain(|flow| {
            // Half a byte is what rounding of sums leaves over.
            let over = flow.left <= 0.5;
            if over {
                on_host[flow.host as usize] -= 1;
                ended.push(flow.vm);
            }
            !over
        });
        if !ended.is_empty() {
            self.share();
        }
        ended
    }

    /// When the next copy will be through if nothing changes; none while nothing moves.
    pub fn next_end(&self) -> Option<Moment> {
        let waits = self.flows.iter().filter(|flow| flow.rate > 0.0 || flow.left <= 0.5).map(|flow| match flow.left <= 0.5 {
            true => 0.0,
            false => flow.left / flow.rate,
        });
        let wait = waits.fold(f64::INFINITY, f64::min);
        // A moment later rather than earlier, so that it is over when somebody looks.
        wait.is_finite().then(|| self.counted_at + (wait.ceil() as u64).max(u64::from(wait > 0.0)))
    }

    fn flow_until(&mut self, now: Moment) {
        let passed = now.saturating_sub(self.counted_at) as f64;
        self.counted_at = self.counted_at.max(now);
        if passed == 0.0 {
            return;
        }
        for flow in &mut self.flows {
            let bytes = (flow.rate * passed).min(flow.left);
            flow.left -= bytes;
            self.carried += bytes;
        }
    }

    /// Serves those first that can take least; whoever is left shares what they did not take.
    fn share(&mut self) {
        let parked = self.flows.iter().any(|flow| flow.preferred);
        let reach = |flow: &Flow| match parked && !flow.preferred {
            true => 0.0,
            false => flow.reach.min(self.hosts[flow.host as usize] * flow.stored / f64::from(self.on_host[flow.host as usize])),
        };
        self.order.clear();
        self.order.extend(0..self.flows.len() as u32);
        let flows = &self.flows;
        self.order.sort_unstable_by(|one, other| reach(&flows[*one as usize]).total_cmp(&reach(&flows[*other as usize])));
        let mut rest = self.width;
        for (served, index) in self.order.iter().enumerate() {
            let even = rest / (self.order.len() - served) as f64;
            let rate = reach(&self.flows[*index as usize]).min(even);
            rest -= rate;
            self.flows[*index as usize].rate = rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(vm: u32, host: u32, read: f64, reach: f64) -> Load {
        Load { vm, host, read, reach, stored: 1.0, preferred: false }
    }

    fn line(width: f64, hosts: &[f64]) -> Line {
        let mut line = Line::new(hosts.len());
        line.set_rates(0, width, hosts);
        line
    }

    #[test]
    fn copies_share_the_line_evenly_and_who_can_take_less_leaves_the_rest_to_others() {
        let mut line = line(100.0, &[1000.0, 1000.0]);
        line.begin(0, load(1, 0, 1000.0, 20.0));
        line.begin(0, load(2, 1, 8000.0, 500.0));
        // 20 and 80 a millisecond: the first is through after 50, the second has 4000 left and the line for itself.
        assert_eq!(line.next_end(), Some(50));
        assert_eq!(line.take_ended(50), [1]);
        assert_eq!(line.next_end(), Some(90));
        assert_eq!(line.take_ended(90), [2]);
        assert_eq!((line.next_end(), line.carried()), (None, 9000.0));
    }

    #[test]
    fn a_host_delivers_what_it_can_to_all_that_is_read_there() {
        let mut line = line(1000.0, &[10.0]);
        line.begin(0, load(1, 0, 100.0, 500.0));
        line.begin(0, load(2, 0, 100.0, 500.0));
        assert_eq!(line.next_end(), Some(20));
    }

    #[test]
    fn others_stand_still_while_a_final_cycle_copies() {
        let mut line = line(100.0, &[1000.0]);
        line.begin(0, load(1, 0, 5000.0, 500.0));
        line.begin(10, Load { preferred: true, ..load(2, 0, 1000.0, 500.0) });
        assert_eq!(line.take_ended(20), [2]);
        // 1000 went before, nothing meanwhile.
        assert_eq!(line.next_end(), Some(60));
    }

    #[test]
    fn compressed_bytes_count_on_the_line_and_read_bytes_at_the_host() {
        let mut line = line(100.0, &[10.0]);
        line.begin(0, Load { stored: 0.5, ..load(1, 0, 100.0, 500.0) });
        assert_eq!(line.next_end(), Some(10), "the host delivers ten a millisecond");
        line.take_ended(10);
        assert_eq!(line.carried(), 50.0);
    }

    #[test]
    fn a_closed_line_carries_nothing_and_opens_again() {
        let mut line = line(0.0, &[1000.0]);
        line.begin(0, load(1, 0, 100.0, 500.0));
        assert_eq!(line.next_end(), None);
        line.set_rates(1000, 10.0, &[1000.0]);
        assert_eq!(line.next_end(), Some(1010));
    }

    proptest! {
        #[test]
        fn what_was_begun_is_carried_and_never_faster_than_the_line(
            copies in proptest::collection::vec((0u64..500, 0u32..3, 0u32..100_000, 1u32..300, proptest::bool::weighted(0.1)), 1..30),
            width in 1u32..500,
        ) {
            let mut copies = copies;
            copies.sort_by_key(|copy| copy.0);
            let mut line = line(f64::from(width), &[200.0; 3]);
            let (mut now, mut ended) = (0, 0);
            let total: f64 = copies.iter().map(|copy| f64::from(copy.2)).sum();
            let count = copies.len();
            let mut coming = copies.into_iter().enumerate().peekable();
            while ended < count {
                let next_begin = coming.peek().map(|(_, copy)| copy.0);
                let next = [next_begin, line.next_end()].into_iter().flatten().min();
                let Some(next) = next else { return Err(TestCaseError::fail("nothing moves any more")) };
                prop_assert!(next >= now);
                now = next;
                ended += line.take_ended(now).len();
                while let Some((vm, (_, host, bytes, reach, preferred))) = coming.next_if(|(_, copy)| copy.0 <= now) {
                    line.begin(now, Load { preferred, ..load(vm as u32, host, f64::from(bytes), f64::from(reach)) });
                }
                prop_assert!(line.carried() <= now as f64 * f64::from(width) + 1.0);
                let rates: f64 = line.flows.iter().map(|flow| flow.rate).sum();
                prop_assert!(rates <= f64::from(width) + 1e-6);
            }
            prop_assert!((line.carried() - total).abs() <= count as f64);
        }
    }
}
