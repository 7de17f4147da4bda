//! Harrier as a library.
