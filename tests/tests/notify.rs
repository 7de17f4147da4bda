//! Those who hear of transitions: commands, FIFOs, state files, webhooks. Whole
//! daemons in namespaces, beside keepalived where it has the same.

#[path = "notify/compare.rs"]
mod compare;
#[path = "notify/disk.rs"]
mod disk;
#[path = "notify/hostile.rs"]
mod hostile;
#[path = "notify/scene.rs"]
mod scene;
#[path = "notify/webhook.rs"]
mod webhook;
