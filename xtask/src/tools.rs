//! The programs that the demo and the suites use, and the Debian packages that have them.

use crate::process;

/// A program, and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

const TOOLS: &[Tool] = &[
    tool("ip", "iproute2"),
    tool("bridge", "iproute2"),
    tool("bpftool", "bpftool"),
    tool("keepalived", "keepalived"),
    tool("vtysh", "frr"),
    tool("nginx", "nginx"),
    tool("haproxy", "haproxy"),
    tool("curl", "curl"),
    tool("ethtool", "ethtool"),
    tool("pidof", "sysvinit-utils"),
    tool("pkill", "procps"),
    tool("tshark", "tshark"),
    tool("tcpdump", "tcpdump"),
    tool("strace", "strace"),
    tool("nft", "nftables"),
    tool("ping", "iputils-ping"),
    tool("ps", "procps"),
    tool("setpriv", "util-linux"),
    tool("unshare", "util-linux"),
    tool("umount", "mount"),
    tool("openssl", "openssl"),
];

/// The tools that are not installed.
pub(crate) fn missing() -> Vec<Tool> {
    TOOLS
        .iter()
        .filter(|tool| process::find(tool.program).is_none())
        .copied()
        .collect()
}
