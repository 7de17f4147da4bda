//! The edge to the network: one executor per family of actions.
//!
//! - [`interface`]: what an interface is and has (rtnetlink, async)
//! - [`advert`]: sends advertisements
//! - [`batch`]: many messages by one system call
//! - [`announce`]: gratuitous ARP and unsolicited neighbour advertisements
//! - [`host`]: addresses, routes, rules: what is put on the host and taken off
//! - [`macvlan`]: interfaces with a virtual router's link-layer address
//! - [`sysctl`]: settings of interfaces that are put back
//! - [`accept`]: packets to the addresses that are not for us (nftables)
//! - [`watch`]: interfaces and addresses as they change (netlink, async)
//! - [`journal`]: what may be put on the host, written down before it is
//! - [`leftover`]: what a killed predecessor left on the host

pub mod accept;
pub mod advert;
pub mod announce;
pub mod batch;
pub mod host;
pub mod interface;
pub mod journal;
pub mod leftover;
pub mod macvlan;
pub mod sysctl;
pub mod watch;

use std::io;

use tokio::task::JoinHandle;

/// A conversation with the kernel's rtnetlink, ended when it is dropped.
pub(crate) struct Netlink {
    /// Asks.
    pub(crate) handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

impl Netlink {
    /// Begins one, inside a tokio runtime.
    pub(crate) fn open() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self {
            handle,
            connection: tokio::spawn(connection),
        })
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
