//! What is ready, and which of it is computed next.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::image::Ready;
use crate::served::{Kind, Served, Threads};

/// Images that are ready, in groups that can be computed together.
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Threads that compute.
    threads: usize,
    /// Those of them that have nothing to do.
    free: usize,
    last: Option<Last>,
}

/// The images of one kind for one model.
struct Group {
    model: Arc<Served>,
    kind: Kind,
    ready: VecDeque<Ready>,
    /// Images that are being decoded.
    coming: usize,
}

/// The batch before.
struct Last {
    model: Weak<Served>,
    kind: Kind,
    images: usize,
    ended: Instant,
}

/// What to do next.
pub(super) enum Next {
    /// Compute these images, of one group.
    Batch(Vec<Ready>, Threads),
    /// Wait for images, until this time if there is one.
    Wait(Option<Instant>),
    /// There is nothing, and nothing is coming.
    Nothing,
}

impl Group {
    /// Until when it waits for more images, for up to `delay`; none if it does not.
    fn waits(&self, last: Option<&Last>, delay: Duration) -> Option<Instant> {
        // A small network gains less from company than waiting costs.
        let is_full = self.ready.len() >= self.model.batch(self.kind);
        if is_full || self.model.has_plans_alone(self.kind) {
            return None;
        }
        if self.coming > 0 {
            return self.ready.front().map(|image| image.ticket.since + delay);
        }
        // Clients that were answered together send their next images together.
        let last = last.filter(|last| {
            let is_same =
                last.kind == self.kind && Weak::as_ptr(&last.model) == Arc::as_ptr(&self.model);
            is_same && last.images > self.ready.len()
        });
        last.map(|last| last.ended + delay)
    }
}

impl Groups {
    /// For so many threads that compute.
    pub(super) fn new(threads: usize) -> Groups {
        Groups { groups: Vec::new(), threads, free: threads, last: None }
    }

    fn of(&mut self, model: &Arc<Served>, kind: Kind) -> &mut Group {
        let is_it = |group: &Group| Arc::ptr_eq(&group.model, model) && group.kind == kind;
        let index = self.groups.iter().position(is_it).unwrap_or_else(|| {
            let (model, ready) = (Arc::clone(model), VecDeque::new());
            self.groups.push(Group { model, kind, ready, coming: 0 });
            self.groups.len() - 1
        });
        &mut self.groups[index]
    }

    /// An image will be ready.
    pub(super) fn announce(&mut self, model: &Arc<Served>, kind: Kind) {
        self.of(model, kind).coming += 1;
    }

    /// An image that was announced is ready, or will not be.
    pub(super) fn arrive(&mut self, model: &Arc<Served>, kind: Kind, image: Option<Ready>) {
        let group = self.of(model, kind);
        group.coming -= 1;
        group.ready.extend(image);
        self.tidy();
    }

    /// Lets go of models without images: one that was replaced is dropped with its last image.
    fn tidy(&mut self) {
        self.groups.retain(|group| group.coming > 0 || !group.ready.is_empty());
    }

    /// A batch was computed.
    pub(super) fn computed(
        &mut self,
        model: &Arc<Served>,
        (kind, threads): (Kind, Threads),
        images: usize,
        now: Instant,
    ) {
        self.free += self.needs(threads);
        self.last = Some(Last { model: Arc::downgrade(model), kind, images, ended: now });
        self.tidy();
    }

    fn needs(&self, threads: Threads) -> usize {
        match threads {
            Threads::All => self.threads,
            Threads::One => 1,
        }
    }

    /// Whether there are images that can be computed, now or when they have waited.
    pub(super) fn are_ready(&self) -> bool {
        self.groups.iter().any(|group| !group.ready.is_empty())
    }

    /// What to do at `now`, if an image waits for others for up to `delay`. Nothing is taken unless it is
    /// to be computed at once; its threads are taken until [`Groups::computed`].
    pub(super) fn next(&mut self, now: Instant, delay: Duration) -> Next {
        for group in &mut self.groups {
            group.ready.retain(|image| !image.ticket.is_abandoned());
        }
        self.tidy();
        let mut wait: Option<Instant> = None;
        let mut due: Option<(Instant, usize)> = None;
        for (index, group) in self.groups.iter().enumerate() {
            let Some(first) = group.ready.front() else { continue };
            match group.waits(self.last.as_ref(), delay).filter(|until| *until > now) {
                Some(until) => wait = Some(wait.map_or(until, |wait| wait.min(until))),
                // Of several groups the one whose image has waited longest.
                None if due.is_none_or(|(since, _)| first.ticket.since < since) => {
                    due = Some((first.ticket.since, index));
                }
                None => {}
            }
        }
        match due {
            Some((_, index)) => {
                let (all, free) = (self.threads, self.free);
                let group = &mut self.groups[index];
                let ready = group.ready.len();
                // All threads are faster for one image, and each alone for many.
                let is_shared =
                    group.model.has_plans_alone(group.kind) && (ready > 1 || free < all);
                let (threads, shares) =
                    if is_shared { (Threads::One, free) } else { (Threads::All, 1) };
                if free == 0 || (threads == Threads::All && free < all) {
                    return Next::Wait(None);
                }
                let n = ready.div_ceil(shares).min(group.model.batch(group.kind));
                let batch = group.ready.drain(..n).collect();
                self.free -= self.needs(threads);
                Next::Batch(batch, threads)
            }
            None if self.groups.is_empty() => Next::Nothing,
            None => Next::Wait(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use resnet::{Cpu, Dtype, model_file::Model, predictor::Predictor};
    use tokio::sync::{Semaphore, oneshot};

    use super::{
        super::image::{Outcome, Ticket},
        *,
    };
    use crate::served::Prepared;

    const DELAY: Duration = Duration::from_millis(5);
    const KIND: Kind = Kind::Photos;

    /// The demo in batches of up to four, and what is ready for it.
    struct Desk {
        model: Arc<Served>,
        groups: Groups,
        /// Of clients that wait.
        receivers: Vec<oneshot::Receiver<Outcome>>,
        places: Arc<Semaphore>,
    }

    impl Desk {
        fn new(threads: usize) -> Desk {
            let cpu = Cpu::new(1).unwrap();
            let predictor = Predictor::new(Model::demo(), None, Dtype::Fp32, &cpu).unwrap();
            let model = Arc::new(Served::new("demo", predictor, 4, threads).unwrap());
            let places = Arc::new(Semaphore::new(100));
            Desk { model, groups: Groups::new(threads), receivers: Vec::new(), places }
        }

        /// Images are ready.
        fn ready(&mut self, images: usize) {
            for _ in 0..images {
                self.groups.announce(&self.model, KIND);
                self.arrive();
            }
        }

        /// An image that was announced is ready.
        fn arrive(&mut self) {
            let place = Arc::clone(&self.places).try_acquire_owned().unwrap();
            let (ticket, receiver) = Ticket::new(Arc::clone(&self.model), KIND, place);
            self.receivers.push(receiver);
            let prepared = Prepared::Pixels(Vec::new());
            let image = Ready { ticket, prepared, region: None };
            self.groups.arrive(&self.model, KIND, Some(image));
        }

        /// Images that are computed at this time, on the one thread, in no time.
        fn batch(&mut self, now: Instant) -> Option<usize> {
            let (images, threads) = self.begin(now)?;
            self.groups.free += self.groups.needs(threads);
            Some(images)
        }

        /// Images that a thread begins to compute at this time, and on which threads.
        fn begin(&mut self, now: Instant) -> Option<(usize, Threads)> {
            match self.groups.next(now, DELAY) {
                Next::Batch(batch, threads) => Some((batch.len(), threads)),
                _ => None,
            }
        }

        /// A batch of so many images was computed.
        fn end(&mut self, images: usize, threads: Threads, now: Instant) {
            self.groups.computed(&self.model, (KIND, threads), images, now);
        }
    }

    #[test]
    fn one_that_comes_alone_never_waits() {
        let mut desk = Desk::new(1);
        for _ in 0..3 {
            desk.ready(1);
            let now = Instant::now();
            assert_eq!(desk.begin(now), Some((1, Threads::All)));
            desk.end(1, Threads::All, now);
            assert!(matches!(desk.groups.next(now, DELAY), Next::Nothing));
        }
    }

    #[test]
    fn images_wait_for_those_that_are_being_decoded() {
        let mut desk = Desk::new(1);
        desk.groups.announce(&desk.model, KIND);
        desk.ready(1);
        let now = Instant::now();
        assert!(
            matches!(desk.groups.next(now, DELAY), Next::Wait(Some(until)) if until <= now + DELAY)
        );
        desk.arrive();
        assert_eq!(desk.batch(now), Some(2), "nothing comes any more");
        desk.groups.announce(&desk.model, KIND);
        desk.ready(1);
        assert_eq!(desk.batch(Instant::now() + DELAY), Some(1), "it has waited long enough");
        desk.ready(9);
        let now = Instant::now();
        assert_eq!([desk.batch(now), desk.batch(now), desk.batch(now)], [Some(4), Some(4), None]);
        desk.groups.arrive(&desk.model, KIND, None);
        assert_eq!(desk.batch(now), Some(1), "what was coming is damaged");
    }

    #[test]
    fn clients_that_were_answered_together_are_expected_together() {
        let mut desk = Desk::new(1);
        let ended = Instant::now();
        desk.ready(3);
        assert_eq!(desk.begin(ended), Some((3, Threads::All)));
        desk.end(3, Threads::All, ended);
        desk.ready(1);
        assert!(
            matches!(desk.groups.next(ended, DELAY), Next::Wait(Some(until)) if until == ended + DELAY)
        );
        desk.ready(2);
        assert_eq!(desk.batch(ended), Some(3));
        desk.ready(1);
        assert_eq!(desk.batch(ended + DELAY), Some(1));
    }

    #[test]
    fn images_whose_clients_are_gone_are_left_out() {
        let mut desk = Desk::new(1);
        desk.ready(3);
        desk.receivers.remove(1);
        assert_eq!(desk.batch(Instant::now()), Some(2));
        assert_eq!(desk.places.available_permits(), 100, "and the others are in the batch");
    }

    #[test]
    fn a_model_is_held_as_long_as_it_has_images() {
        let (mut desk, now) = (Desk::new(1), Instant::now());
        desk.ready(1);
        assert_eq!(desk.begin(now), Some((1, Threads::All)));
        desk.end(1, Threads::All, now);
        assert_eq!(Arc::strong_count(&desk.model), 1, "it was computed");
        desk.groups.announce(&desk.model, KIND);
        assert_eq!(Arc::strong_count(&desk.model), 2);
        desk.groups.arrive(&desk.model, KIND, None);
        assert_eq!(Arc::strong_count(&desk.model), 1, "it will not be ready");
    }

    #[test]
    fn threads_share_the_images_of_a_small_network() {
        let mut desk = Desk::new(2);
        let now = Instant::now();
        desk.ready(1);
        assert_eq!(desk.begin(now), Some((1, Threads::All)), "one image has all threads");
        desk.groups.announce(&desk.model, KIND);
        desk.arrive();
        desk.ready(1);
        assert_eq!(desk.begin(now), None, "none is free");
        desk.end(1, Threads::All, now);
        desk.ready(3);
        assert_eq!(desk.begin(now), Some((3, Threads::One)), "half of what is ready");
        assert!(desk.groups.are_ready(), "there is more for another thread");
        assert_eq!(desk.begin(now), Some((2, Threads::One)), "the other half");
        assert!(!desk.groups.are_ready());
        desk.ready(9);
        assert_eq!(desk.begin(now), None);
        desk.end(2, Threads::One, now);
        assert_eq!(desk.begin(now), Some((4, Threads::One)), "the largest batch");
        desk.end(3, Threads::One, now);
        desk.end(4, Threads::One, now);
        desk.groups.announce(&desk.model, KIND);
        assert_eq!(desk.begin(now), Some((3, Threads::One)), "no waiting for what is decoded");
    }
}
