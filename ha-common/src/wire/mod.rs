//! Wire formats.
pub mod vrrp;
