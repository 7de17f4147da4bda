//! The queue of deadlines, at most one for each virtual router: a binary heap that
//! knows where each of them stands, so that moving one costs a few comparisons and,
//! once [`Deadlines::make_room`] has been called for its router, no allocation.

use ha_common::time::Timestamp;

use super::InstanceId;

/// The place of one that has no deadline.
const NOWHERE: usize = usize::MAX;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// No entry is earlier than the one at half its place; of those of one time the
    /// lesser id is earlier.
    heap: Vec<(Timestamp, InstanceId)>,
    /// By id, where in the heap it is, or [`NOWHERE`].
    places: Vec<usize>,
}

impl Deadlines {
    /// `id` may have a deadline from now on.
    pub(super) fn make_room(&mut self, id: InstanceId) {
        let count = id.0 as usize + 1;
        if self.places.len() < count {
            self.places.resize(count, NOWHERE);
        }
        self.heap.reserve(self.places.len() - self.heap.len());
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Timestamp, InstanceId)> {
        self.heap.first().copied()
    }

    /// The deadline of `id` is `at` from now on; with `None` it has none.
    ///
    /// # Panics
    /// If there is no room for `id`.
    pub(super) fn set(&mut self, id: InstanceId, at: Option<Timestamp>) {
        let place = self.places[id.0 as usize];
        match (at, self.heap.get(place)) {
            (None, None) => {}
            (Some(at), None) => {
                self.heap.push((at, id));
                self.rise(self.heap.len() - 1);
            }
            (Some(at), Some((before, _))) => {
                if at != *before {
                    self.heap[place].0 = at;
                    self.settle(place);
                }
            }
            (None, Some(_)) => {
                self.heap.swap_remove(place);
                self.places[id.0 as usize] = NOWHERE;
                if place < self.heap.len() {
                    self.settle(place);
                }
            }
        }
    }

    /// Puts those at or before `at` into `out`, in no order, in place of what it holds.
    pub(super) fn until(&self, at: Timestamp, out: &mut Vec<InstanceId>) {
        out.clear();
        let is_due = |place: usize| self.heap.get(place).filter(|(due_at, _)| *due_at <= at);
        out.extend(is_due(0).map(|(_, id)| *id));
        // Whatever is due is below others that are.
        let mut seen = 0;
        while let Some(id) = out.get(seen) {
            let below = 2 * self.place(*id) + 1;
            let children = [below, below + 1].into_iter().filter_map(is_due);
            out.extend(children.map(|(_, id)| *id));
            seen += 1;
        }
    }

    fn place(&self, id: InstanceId) -> usize {
        self.places[id.0 as usize]
    }

    /// The entry at `place` goes where it belongs.
    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    /// Takes the entry at `place` up while it is earlier than the one above; returns
    /// where it ends.
    fn rise(&mut self, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above] <= entry {
                break;
            }
            self.put(place, self.heap[above]);
            place = above;
        }
        self.put(place, entry);
        place
    }

    /// Takes the entry at `place` down while one below is earlier.
    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let Some(at_left) = self.heap.get(left) else {
                break;
            };
            let (below, least) = match self.heap.get(right) {
                Some(at_right) if at_right < at_left => (right, *at_right),
                _ => (left, *at_left),
            };
            if entry <= least {
                break;
            }
            self.put(place, least);
            place = below;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (Timestamp, InstanceId)) {
        self.heap[place] = entry;
        self.places[entry.1.0 as usize] = place;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// Against a sorted set, over a few thousand changes.
    #[test]
    fn it_is_what_a_sorted_set_would_be() {
        const IDS: u32 = 40;
        let mut deadlines = Deadlines::default();
        (0..IDS).for_each(|id| deadlines.make_room(InstanceId(id)));
        let room = deadlines.heap.capacity();
        let mut expected: BTreeSet<(Timestamp, InstanceId)> = BTreeSet::new();
        let mut out = Vec::new();
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (id, nanos) = (InstanceId((state >> 33) as u32 % IDS), state >> 40 & 0x7f);
            let deadline = (nanos < 120).then(|| at(nanos));
            deadlines.set(id, deadline);
            expected.retain(|(_, other)| *other != id);
            expected.extend(deadline.map(|at| (at, id)));
            assert_eq!(deadlines.first(), expected.first().copied());
            deadlines.until(at(state >> 50 & 0x7f), &mut out);
            let due = expected.range(..=(at(state >> 50 & 0x7f), InstanceId(u32::MAX)));
            let due: BTreeSet<InstanceId> = due.map(|(_, id)| *id).collect();
            assert_eq!(out.len(), due.len(), "none is there twice");
            assert_eq!(out.iter().copied().collect::<BTreeSet<_>>(), due);
        }
        assert_eq!(deadlines.heap.capacity(), room, "it had to grow");
    }

    #[test]
    fn what_is_due_takes_the_place_of_what_was_there() {
        let mut deadlines = Deadlines::default();
        deadlines.make_room(InstanceId(1));
        let mut out = vec![InstanceId(7)];
        deadlines.until(Timestamp::MAX, &mut out);
        assert!(out.is_empty());
        deadlines.set(InstanceId(1), Some(at(5)));
        deadlines.until(at(4), &mut out);
        assert!(out.is_empty());
        deadlines.until(at(5), &mut out);
        assert_eq!(out, [InstanceId(1)]);
    }
}
