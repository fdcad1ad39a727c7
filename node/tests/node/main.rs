//! The daemon's parts against the real world: sockets, files, processes.

mod daemon;
mod mesh;
