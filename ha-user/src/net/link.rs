//! Links that go down and come back, told to the driver as they happen.

use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;

use super::interface::is_up;

/// A link changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkChange {
    /// Kernel index of the interface.
    pub index: u32,
    /// Up and with a carrier. A removed interface is down.
    pub up: bool,
}

/// Calls `changed` for each change, until `changed` returns `false`.
///
/// # Errors
/// If no netlink socket can be had, or it fails later: from then on the daemon
/// would not see a link go down.
pub async fn watch(mut changed: impl FnMut(LinkChange) -> bool) -> std::io::Result<()> {
    let (connection, _handle, mut changes) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
    let connection = tokio::spawn(connection);
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
            connection.abort();
            return Ok(());
        }
    }
    Err(std::io::Error::other(
        "the kernel closed the link event socket",
    ))
}
