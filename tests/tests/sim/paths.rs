//! What routers are to each other at one moment: their parts, and who hears whom.

/// Nodes at most.
pub(crate) const NODES: usize = 5;

/// A router's part in the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Down, paused, in fault, or without a running daemon.
    Off,
    Candidate,
    /// Active, and able to say so.
    Active,
}

/// Who can hear whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Paths {
    /// `cut[from][to]`
    pub(crate) cut: [[bool; NODES]; NODES],
    pub(crate) lossy: bool,
}

impl Paths {
    pub(crate) fn both_ways(&self, one: usize, other: usize) -> bool {
        !self.cut[one][other] && !self.cut[other][one]
    }

    /// The nodes fall into groups that hear each other fully and nobody else.
    pub(crate) fn is_calm(&self, nodes: usize) -> bool {
        let same = |one: usize, other: usize| {
            (0..nodes).all(|node| {
                node == one || node == other || self.cut[one][node] == self.cut[other][node]
            })
        };
        !self.lossy
            && (0..nodes).all(|one| {
                (0..nodes).all(|other| {
                    one == other
                        || (self.cut[one][other] == self.cut[other][one]
                            && (self.cut[one][other] || same(one, other)))
                })
            })
    }
}
