//! The decision over hand-built standings: each test is a fleet with one host, some of it changed.

mod closings;
mod emergency;
mod fleet;
mod foreseeing;
mod freshness;
mod gates;
mod lapsing;
mod order;
mod properties;
mod targets;
mod timing;
