//! The native module: the Rust half of the border between ringcore and Node.js.
//!
//! Everything that knows Node-API is in `binding`; the ring itself is `crates/ringcore`.

mod binding;
