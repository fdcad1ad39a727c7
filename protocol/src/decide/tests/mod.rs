//! The decision over hand-built standings: each test is a fleet with one host, some of it changed.

mod closings;
mod emergency;
mod fleet;
mod gates;
mod order;
mod properties;
mod targets;
mod timing;
