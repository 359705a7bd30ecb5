//! Slabs shown to JavaScript as external ArrayBuffers.

use super::check;
use napi::sys;
use ringcore::buffer::Slab;
use std::ffi::c_void;
use std::sync::Arc;

/// An ArrayBuffer over a slab. It holds a count of the slab; its finalizer drops that count and
/// nothing else, since it may run before or after the teardown hook, on Deno even on another thread
/// after the environment's death.
pub fn external(env: sys::napi_env, slab: Arc<Slab>) -> napi::Result<sys::napi_value> {
  let len = slab.len();
  shown(env, slab, len)?.ok_or_else(|| {
    let text = "this runtime forbids external ArrayBuffers, which the ring's memory is shown as";
    napi::Error::new(napi::Status::GenericFailure, text)
  })
}

/// The same for the first `len` bytes. `None`: this runtime forbids external ArrayBuffers.
pub fn shown(
  env: sys::napi_env,
  slab: Arc<Slab>,
  len: usize,
) -> napi::Result<Option<sys::napi_value>> {
  let (base, len) = (slab.base(), len.min(slab.len()));
  let hint = Arc::into_raw(slab);
  let mut result = std::ptr::null_mut();
  // SAFETY: I2: `base..base + len` stays mapped as long as the count in `hint` lives, which is
  // until the finalizer runs. `env` is the environment of the running call.
  let status = unsafe {
    sys::napi_create_external_arraybuffer(
      env,
      base.cast(),
      len,
      Some(release),
      hint.cast_mut().cast(),
      &mut result,
    )
  };
  if status != sys::Status::napi_ok {
    // SAFETY: I2: no ArrayBuffer was made, so its count is still ours and dropped once.
    drop(unsafe { Arc::from_raw(hint) });
    if status == sys::Status::napi_no_external_buffers_allowed {
      return Ok(None);
    }
  }
  check(status, "napi_create_external_arraybuffer")?;
  Ok(Some(result))
}

extern "C" fn release(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
  // SAFETY: I2: `hint` is the count made in `external`, dropped exactly once: Node-API calls a
  // finalizer once.
  drop(unsafe { Arc::from_raw(hint.cast::<Slab>()) });
}
