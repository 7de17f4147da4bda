//! Links that go down and come back, told to the driver as they happen.

use std::io;

use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;
use tokio::task::JoinHandle;

use super::interface::is_up;

/// A link changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkChange {
    /// Kernel index of the interface.
    pub index: u32,
    /// Up and with a carrier. A removed interface is down.
    pub up: bool,
}

/// Calls `changed` with the state of every link, then with each change, until
/// `changed` returns `false`.
///
/// # Errors
/// If no netlink socket can be had, or it fails later: from then on the daemon
/// would not see a link go down.
pub async fn watch(mut changed: impl FnMut(LinkChange) -> bool) -> io::Result<()> {
    let (connection, handle, mut changes) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
    let _connection = AbortOnDrop(tokio::spawn(connection));
    // After the subscription: what changes meanwhile comes twice, not never.
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(io::Error::other)? {
        if !changed(LinkChange {
            index: link.header.index,
            up: is_up(&link),
        }) {
            return Ok(());
        }
    }
    while let Some((message, _)) = changes.next().await {
        let change = match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => LinkChange {
                index: link.header.index,
                up: is_up(&link),
            },
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => LinkChange {
                index: link.header.index,
                up: false,
            },
            _ => continue,
        };
        if !changed(change) {
            return Ok(());
        }
    }
    Err(io::Error::other("the kernel closed the link event socket"))
}

/// Ends a task when it is dropped.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
