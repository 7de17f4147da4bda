//! The kernel program, in the kernel: frames through `BPF_PROG_TEST_RUN`, and
//! what becomes of verdict, counters, maps and events.
//!
//! Each test runs on a thread with network and mount namespaces of its own, so
//! it leaves nothing behind, however it ends. Needs root.

#[path = "kernel/agreement.rs"]
mod agreement;
#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/claims.rs"]
mod claims;
#[path = "kernel/election.rs"]
mod election;
#[path = "kernel/host.rs"]
mod host;
#[path = "kernel/instances.rs"]
mod instances;
#[path = "kernel/ladder.rs"]
mod ladder;
/// The simulator's model of the program, which is held against it here.
#[path = "sim/kernel.rs"]
mod model;
#[path = "kernel/packet.rs"]
mod packet;
#[path = "kernel/sorting.rs"]
mod sorting;
#[path = "kernel/table.rs"]
mod table;
