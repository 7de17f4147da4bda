//! The subcommands, one file each.

pub(crate) mod build_ebpf;
pub(crate) mod ci;
pub(crate) mod demo;
pub(crate) mod lint;
pub(crate) mod setup;
pub(crate) mod test;
