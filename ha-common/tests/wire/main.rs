//! The wire formats against vectors, a table of broken rungs, and properties.

mod announcements;
mod frames;
mod headers;
mod ladder;
mod oracle;
mod policy;
mod properties;
mod unicast;
mod vectors;
