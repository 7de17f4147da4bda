//! Another configuration while the daemon runs, failover by hand, and what the
//! daemon says of itself when asked. A client asks a virtual address every
//! millisecond meanwhile: what goes on must lose none of its requests.

mod reload {
    mod asked;
    mod failover;
    mod instances;
    mod leaks;
    mod parameters;
    mod refused;
    mod scene;
    mod scheduling;
}
