//! probe() for TypeScript.

use super::memory;
use napi::bindgen_prelude::Env;
use napi_derive::napi;
use ringcore::buffer::Slab;
use ringcore::probe::{Surroundings, explain};

/// What this machine can do, and why not.
#[napi(object)]
pub struct NativeProbe {
  pub available: bool,
  pub reason: Option<String>,
  pub advice: Option<String>,
  pub kernel: String,
  pub io_uring_disabled: Option<i32>,
  pub memlock: f64,
  pub nofile: f64,
  pub flags: Vec<String>,
  pub features: Vec<String>,
  /// Names of the operations that this kernel has.
  pub ops: Vec<String>,
}

/// Makes a small ring, asks it, and closes it again. A ring whose memory the runtime does not show
/// to JavaScript (Electron and others with a memory cage) is none.
#[napi(catch_unwind)]
pub fn probe(env: &Env) -> NativeProbe {
  let mut probe = ringcore::probe();
  if probe.available
    && let Some(reason) = caged(env)
  {
    probe.available = false;
    probe.reason = Some(reason);
    probe.advice = Some("Use a runtime without a memory cage".into());
    probe.flags.clear();
    probe.ops.clear();
  }
  let ops = probe.ops.iter().filter(|(_, has)| *has).map(|(name, _)| name.to_string());
  NativeProbe {
    available: probe.available,
    reason: probe.reason,
    advice: probe.advice,
    kernel: probe.around.kernel,
    io_uring_disabled: probe.around.io_uring_disabled,
    memlock: probe.around.memlock as f64,
    nofile: probe.around.nofile as f64,
    flags: probe.flags.iter().map(|name| name.to_string()).collect(),
    features: probe.features.iter().map(|name| name.to_string()).collect(),
    ops: ops.collect(),
  }
}

/// Why this runtime does not show the ring's memory to JavaScript; `None`: it does.
fn caged(env: &Env) -> Option<String> {
  let slab = Slab::new(4096).ok()?;
  memory::external(env.raw(), slab).err().map(|error| error.reason.to_string())
}

/// The reason and the advice for an errno of set-up on a machine like this; for tests.
#[napi(catch_unwind)]
pub fn explain_refusal(errno: i32, io_uring_disabled: Option<i32>) -> Vec<String> {
  let around = Surroundings { io_uring_disabled, ..Surroundings::read() };
  let (reason, advice) = explain(errno, &around);
  vec![reason, advice]
}
