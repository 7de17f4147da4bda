//! What an instance can have beyond addresses on its own interface: a virtual MAC
//! address, packets that are not taken, addresses of the other family and many of
//! them, routes, rules, announcements by a schedule. Whole daemons in namespaces.

#[path = "features/accept.rs"]
mod accept;
#[path = "features/addresses.rs"]
mod addresses;
#[path = "features/announcing.rs"]
mod announcing;
#[path = "features/routes.rs"]
mod routes;
#[path = "features/scene.rs"]
mod scene;
#[path = "features/virtual_mac.rs"]
mod virtual_mac;
