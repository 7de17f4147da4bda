//! The edge to the network: one executor per family of actions.
//!
//! - [`interface`]: what an interface is and has, at start (rtnetlink, async)
//! - [`link`]: links that go down and come back (rtnetlink, async)
//! - [`advert`]: sends advertisements
//! - [`announce`]: gratuitous ARP and unsolicited neighbour advertisements
//! - [`address`]: puts virtual addresses on interfaces and takes them off
//! - [`leftover`]: what a killed predecessor left on the host

pub mod address;
pub mod advert;
pub mod announce;
pub mod interface;
pub mod leftover;
pub mod link;
