//! What the daemon puts on its host and takes off again, in the kernel: items,
//! interfaces with a virtual router's address, filters, settings, what a killed
//! daemon leaves; and how it hears of what others change. Needs root.

#[path = "host/accept.rs"]
mod accept;
#[path = "host/inside.rs"]
mod inside;
#[path = "host/items.rs"]
mod items;
#[path = "host/leftovers.rs"]
mod leftovers;
#[path = "host/macvlans.rs"]
mod macvlans;
#[path = "host/watch.rs"]
mod watch;
