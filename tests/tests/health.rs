//! Health checks: every kind passes, fails and recovers; what fails moves the
//! addresses; what misbehaves is bounded; many at once cost little.

#[path = "health/bad.rs"]
mod bad;
#[path = "health/cost.rs"]
mod cost;
#[path = "health/elections.rs"]
mod elections;
#[path = "health/kinds.rs"]
mod kinds;
#[path = "health/scene.rs"]
mod scene;
#[path = "health/tls.rs"]
mod tls;
