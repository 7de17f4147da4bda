//! One netlink request: the state of a bridge port, without the milliseconds
//! that starting a command takes.

use anyhow::{Context as _, Result, bail};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink,
        recv, sendto, socket_with,
    },
};

/// State of a bridge port, `BR_STATE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PortState {
    /// Drops what comes in, sends nothing out.
    Disabled = 0,
    /// Forwards both ways.
    Forwarding = 3,
}

const RTM_SETLINK: u16 = 19;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFLA_PROTINFO: u16 = 12;
const NLA_F_NESTED: u16 = 1 << 15;
const IFLA_BRPORT_STATE: u16 = 1;
const AF_BRIDGE: u8 = 7;

/// Sets the state of the bridge port `ifindex` of the calling thread's network
/// namespace; the kernel has applied it on return.
///
/// # Errors
/// If the kernel refuses.
pub fn set_port_state(ifindex: u32, state: PortState) -> Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is 0
    )
    .context("cannot open a netlink socket")?;

    let mut request = Vec::with_capacity(44);
    request.extend(44u32.to_ne_bytes()); // nlmsg_len
    request.extend(RTM_SETLINK.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    request.extend([0; 8]); // sequence and port
    request.extend([AF_BRIDGE, 0, 0, 0]); // ifinfomsg: family, pad, type
    request.extend(ifindex.to_ne_bytes());
    request.extend([0; 8]); // flags and change mask
    request.extend(12u16.to_ne_bytes());
    request.extend((IFLA_PROTINFO | NLA_F_NESTED).to_ne_bytes());
    request.extend(5u16.to_ne_bytes());
    request.extend(IFLA_BRPORT_STATE.to_ne_bytes());
    request.extend([state as u8, 0, 0, 0]);

    sendto(
        &socket,
        &request,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )
    .context("cannot send a netlink request")?;
    let mut reply = [0u8; 256];
    let (_, length) = recv(&socket, &mut reply[..], RecvFlags::empty())
        .context("cannot receive a netlink reply")?;
    // nlmsghdr (16 octets), then the negated error number.
    let kind = reply
        .get(4..6)
        .and_then(|octets| octets.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = reply[..length]
        .get(16..20)
        .and_then(|octets| octets.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(Errno::from_raw_os_error(-code))
            .with_context(|| format!("cannot set bridge port {ifindex} to {state:?}")),
        _ => bail!("unexpected netlink reply {:?}", &reply[..length]),
    }
}
