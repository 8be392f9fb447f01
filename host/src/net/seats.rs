//! How many bulk transfers an endpoint carries at one time: as many as bring something, and fewer where its answers slow down.
//!
//! ```text
//!   answers of one round, as many as there are seats: their median is what the endpoint takes now
//!   beyond twice the quickest it was   →  a quarter fewer      it is busy: VMs read from the same disks
//!   somebody waited for a seat         →  a quarter more       up to USUAL anywhere, up to the most where the line itself is slow
//! ```
//!
//! On a long line a transfer waits for round trips, and only more of them at once fill it. Nearby, more would only queue.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Fills a 10 Gbit/s link with reads of 1 MiB at usual round trips, and leaves an ESXi host's 48 MiB of NFC buffers to others too.
const USUAL: usize = 16;
/// One slow answer among four keeps no copy waiting.
const LEAST: usize = 4;
/// An answer that comes sooner says nothing of the line: disks and processors take as long.
const NEAR: Duration = Duration::from_millis(20);

pub struct Seats {
    free: Arc<Semaphore>,
    window: Mutex<Window>,
}

/// One transfer's permission, as long as it lives.
pub struct Seat {
    permit: Option<OwnedSemaphorePermit>,
    seats: Arc<Seats>,
    taken: Instant,
}

impl Seats {
    pub fn new(most: usize) -> Arc<Seats> {
        let window = Window::new(most);
        Arc::new(Seats { free: Arc::new(Semaphore::new(window.seats)), window: Mutex::new(window) })
    }

    pub async fn take(self: &Arc<Seats>) -> Seat {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.window().wanted = true;
                self.free.clone().acquire_owned().await.expect("this semaphore is never closed")
            }
        };
        Seat { permit: Some(permit), seats: self.clone(), taken: Instant::now() }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("no holder of this lock panics")
    }
}

impl Seat {
    /// The endpoint began to answer what was asked when the seat was taken. Not to be said of what is sent: that takes as long as it is large.
    pub fn answered(&self) {
        let more = self.seats.window().answered(self.taken.elapsed());
        self.seats.free.add_permits(more);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.seats.window().is_one_too_many()
        {
            permit.forget();
        }
    }
}

/// What was learnt of the endpoint, and how many seats follow from it.
struct Window {
    seats: usize,
    most: usize,
    /// Seats that are to go as soon as their transfers end.
    surplus: usize,
    wanted: bool,
    quickest: Duration,
    round: Vec<Duration>,
}

impl Window {
    fn new(most: usize) -> Window {
        Window { seats: most.min(USUAL), most, surplus: 0, wanted: false, quickest: Duration::MAX, round: Vec::new() }
    }

    /// Answers how many permits are to be added.
    fn answered(&mut self, after: Duration) -> usize {
        self.round.push(after);
        if self.round.len() < self.seats {
            return 0;
        }
        self.round.sort_unstable();
        let now = self.round[self.round.len() / 2];
        self.round.clear();
        // It forgets slowly: a line that became longer for good is the usual one after some rounds.
        self.quickest = now.min(self.quickest.saturating_add(self.quickest / 32));
        let step = (self.seats / 4).max(1);
        let wanted = std::mem::take(&mut self.wanted);
        let most = if self.quickest > NEAR { self.most } else { self.most.min(USUAL) };
        let seats = match now > self.quickest.saturating_mul(2).saturating_add(NEAR) {
            true => self.seats.saturating_sub(step).max(LEAST.min(self.most)),
            false if wanted => (self.seats + step).min(most).max(self.seats),
            false => self.seats,
        };
        self.change_to(seats)
    }

    fn change_to(&mut self, seats: usize) -> usize {
        let before = std::mem::replace(&mut self.seats, seats);
        self.surplus += before.saturating_sub(seats);
        let more = seats.saturating_sub(before);
        let kept = more.min(self.surplus);
        self.surplus -= kept;
        more - kept
    }

    fn is_one_too_many(&mut self) -> bool {
        let one = self.surplus > 0;
        self.surplus -= usize::from(one);
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// What follows from some rounds of answers, while others wait for a seat.
    fn after(window: &mut Window, rounds: usize, answer: Duration) -> usize {
        for _ in 0..rounds {
            for _ in 0..window.seats {
                window.wanted = true;
                window.answered(answer);
            }
        }
        window.seats
    }

    #[test]
    fn a_long_line_gets_more_and_a_near_one_does_not() {
        assert_eq!(after(&mut Window::new(32), 5, ms(100)), 32);
        assert_eq!(after(&mut Window::new(32), 50, ms(5)), 16);
        assert_eq!(after(&mut Window::new(6), 50, ms(100)), 6, "what the operator allows is the most");
    }

    #[test]
    fn nobody_who_waits_nothing_more() {
        let mut window = Window::new(32);
        (0..200).for_each(|_| assert_eq!(window.answered(ms(100)), 0));
        assert_eq!(window.seats, 16);
    }

    #[test]
    fn a_source_that_slows_down_is_asked_less_and_asked_more_when_it_recovers() {
        let mut window = Window::new(32);
        after(&mut window, 5, ms(100));
        assert_eq!(after(&mut window, 3, ms(400)), 14);
        assert_eq!(after(&mut window, 10, ms(400)), 4);
        assert_eq!(after(&mut window, 20, ms(100)), 32);
        let mut near = Window::new(32);
        after(&mut near, 2, ms(2));
        assert_eq!(after(&mut near, 4, ms(15)), 16, "that may be our own processors");
        assert_eq!(after(&mut near, 10, ms(200)), 4);
    }

    #[test]
    fn one_slow_answer_is_no_slow_source() {
        let mut window = Window::new(16);
        after(&mut window, 2, ms(2));
        (0..160).for_each(|n| assert_eq!(window.answered(if n % 3 == 0 { ms(500) } else { ms(2) }), 0));
        assert_eq!(window.seats, 16);
    }

    #[test]
    fn a_line_that_became_longer_is_the_usual_one_after_a_while() {
        let mut window = Window::new(32);
        after(&mut window, 5, ms(10));
        assert_eq!(after(&mut window, 10, ms(100)), 4);
        assert_eq!(after(&mut window, 100, ms(100)), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_run_as_there_are_seats() {
        let seats = Seats::new(8);
        let mut taken = Vec::new();
        for _ in 0..8 {
            taken.push(seats.take().await);
        }
        let waits = tokio::time::timeout(ms(1), seats.take()).await;
        assert!(waits.is_err());
        // Slow beside one quick round: two of eight seats go, as soon as their transfers end.
        taken.iter().for_each(Seat::answered);
        tokio::time::advance(ms(500)).await;
        taken.iter().for_each(Seat::answered);
        drop(taken);
        assert_eq!(seats.free.available_permits(), 6);
    }
}
