//! The harness of Harrier's suites, its demo and its benchmark: networks made of
//! namespaces, the routers that run in them, a client that probes, captures
//! that tell when something was on the wire.
//!
//! - [`run`]: one run's names, its directory, its clean-up, and that of runs before it
//! - [`netns`]: network namespaces, and commands and threads inside them
//! - [`process`]: a process that ends with its guard and shows its log when a test fails
//! - [`lab`]: a switch, nodes, a client; cutting a node off and mending it
//! - [`capture`]: frames with the kernel's arrival times
//! - [`forge`]: advertisements with every field free
//! - [`decode`]: what a frame says, read independently of the code under test
//! - [`siege`]: an elected pair, a client and a stranger
//! - [`daemon`], [`keepalived`], [`frr`]: the kinds of router
//! - [`probe`]: a client that asks a virtual address every millisecond
//! - [`machine`]: a node with processes and directories of its own
//! - [`service`]: nginx and haproxy on a machine
//! - [`visitor`]: a client that asks such a service by HTTP
//! - [`cloud`]: a cloud's metadata and API, on a node
//! - [`mod@bench`]: contestants measured on the same work
//! - [`xdp`]: an XDP program of someone else
//! - [`fuzz`]: what the fuzzers run
//! - [`need`]: what a suite needs of the machine, loudly
//!
//! Times are [`Timestamp`](ha_common::time::Timestamp)s: `CLOCK_MONOTONIC`.

pub mod bench;
pub mod capture;
pub mod clock;
pub mod cloud;
pub mod command;
pub mod daemon;
pub mod decode;
pub mod forge;
pub mod frr;
pub mod fuzz;
pub mod http;
pub mod keepalived;
pub mod lab;
pub mod machine;
pub mod need;
pub mod netlink;
pub mod netns;
pub mod probe;
pub mod process;
pub mod run;
pub mod service;
pub mod siege;
pub mod signal;
pub mod visitor;
pub mod xdp;
