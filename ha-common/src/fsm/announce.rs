//! When the addresses are announced to the link.

use core::time::Duration;

/// When a router that has become Active announces its addresses: at once, and
/// then again, as the first announcement may be lost, or reach a switch whose
/// port has only begun to forward.
///
/// The first of `count` announcements comes with the takeover and the others
/// `interval` apart; after `delay` the same `count` comes once more. From then
/// on there is one every `refresh`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnounceSchedule {
    /// Announcements in a row, at least 1.
    pub count: u8,
    /// From one of a row to the next; at least 1 ms.
    pub interval: Duration,
    /// From the takeover to the second row; zero for none.
    pub delay: Duration,
    /// From one announcement to the next after the rows; zero for none.
    pub refresh: Duration,
}

impl Default for AnnounceSchedule {
    /// At 0, 0.1 and 0.2 s and again from 5 s on; no refresh.
    fn default() -> Self {
        Self {
            count: 3,
            interval: Duration::from_millis(100),
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
        }
    }
}
