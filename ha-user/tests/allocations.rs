//! The engine allocates nothing once its virtual routers are there: not when it
//! advertises, nor when deadlines move, nor when all of them take over; nor does sending a
//! batch. A binary of its own, as the allocator counts for all of it.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    time::Duration,
};

use ha_common::{
    fsm::{Action, Advert, Parameters, StateKind},
    time::Timestamp,
    types::{Priority, Version},
};
use ha_user::{
    engine::{Engine, InstanceId},
    net::batch::{self, AT_ONCE, Message},
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

/// The system's allocator; counts what a thread asks of it.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on as it is to the system's allocator, which upholds
// the contract; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise for `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: `block` is from `alloc` above, and so from the system's allocator.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INSTANCES: u32 = 200;
const INTERVAL: Duration = Duration::from_millis(10);

fn engine() -> Engine {
    let parameters = |number: u32| Parameters {
        phase: number
            .is_multiple_of(3)
            .then(|| INTERVAL * (number % 8) / 8),
        ..Parameters::new(
            Version::V3,
            Priority(100),
            Ipv4Addr::new(10, 0, 0, 1).into(),
            INTERVAL,
        )
    };
    let group = (INSTANCES - 4..INSTANCES).map(InstanceId).collect();
    Engine::new((0..INSTANCES).map(parameters), Vec::new(), vec![group])
}

/// What happens until `until`, as a driver would have it; returns how many
/// advertisements it sends. With `peer` every Backup hears one at the last moment.
fn pass(engine: &mut Engine, until: Timestamp, peer: bool, soon: &mut Vec<InstanceId>) -> usize {
    let mut sent = 0;
    while let Some(now) = engine.poll_timeout().filter(|at| *at <= until) {
        engine.due_by(now + Duration::from_millis(1), soon);
        for id in soon.iter().copied() {
            if peer && engine.state(id) == StateKind::Backup {
                let advert = Advert {
                    at: now,
                    source: Ipv4Addr::new(10, 0, 0, 9).into(),
                    priority: Priority(200),
                    interval: INTERVAL,
                };
                engine.handle_advert(now, id, &advert);
            }
        }
        while let Some(id) = engine.poll_due(now) {
            engine.handle_timeout(now, id);
        }
        while let Some((_, action)) = engine.poll_action() {
            sent += usize::from(matches!(action, Action::SendAdvert { .. }));
        }
    }
    sent
}

#[test]
fn the_engine_allocates_nothing_once_it_runs() {
    let at = |millis: u64| Timestamp::from_nanos(1_000_000_000 + millis * 1_000_000);
    let mut engine = engine();
    let mut soon = Vec::with_capacity(INSTANCES as usize);
    for id in engine.ids() {
        engine.handle_startup(at(0), id);
    }
    let mut allocated = |what: &str, until: u64, peer: bool| {
        let before = ASKED.get();
        let sent = pass(&mut engine, at(until), peer, &mut soon);
        assert_eq!(ASKED.get() - before, 0, "{what} allocates");
        sent
    };
    assert_eq!(allocated("re-arming Backups", 1000, true), 0);
    // All of them, the group included: at least one advertisement each in 100 ms.
    let sent = allocated("taking over", 1100, false);
    assert!(sent >= INSTANCES as usize, "{sent}");
    let sent = allocated("advertising", 3000, false);
    assert_eq!(sent, INSTANCES as usize * 190);
}

#[test]
fn batches_are_on_the_stack() {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let messages = [[7; 40]; 3 * AT_ONCE + 1];
    let before = ASKED.get();
    let outgoing = messages
        .iter()
        .map(|bytes| ((), Message { bytes, to: None }));
    batch::send(near.as_fd(), outgoing, |(), error| panic!("{error}"));
    assert_eq!(ASKED.get() - before, 0);
    let mut buffer = [0; 64];
    let arrived = std::iter::from_fn(|| recv(&far, &mut buffer[..], RecvFlags::empty()).ok());
    assert_eq!(arrived.count(), messages.len());
}

/// It is there, and counts.
#[test]
fn an_allocation_is_counted() {
    let before = ASKED.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(ASKED.get() - before, 1);
}
