//! The subcommands, one file each.

pub(crate) mod bench;
pub(crate) mod build_ebpf;
pub(crate) mod ci;
pub(crate) mod demo;
pub(crate) mod fuzz;
pub(crate) mod guides_table;
pub(crate) mod interop_table;
pub(crate) mod lint;
pub(crate) mod mutants;
pub(crate) mod setup;
pub(crate) mod sim;
pub(crate) mod test;
