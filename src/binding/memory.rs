//! Slabs shown to JavaScript as external ArrayBuffers.

use super::check;
use napi::sys;
use ringcore::buffer::Slab;
use std::ffi::c_void;
use std::sync::Arc;

/// An ArrayBuffer over a whole slab.
pub fn external(env: sys::napi_env, slab: Arc<Slab>) -> napi::Result<sys::napi_value> {
  let len = slab.len();
  part(env, slab, 0, len)
}

/// An ArrayBuffer over bytes of a slab. It holds a count of the slab; its finalizer drops that
/// count and nothing else, since it may run before or after the teardown hook, on Deno even on
/// another thread after the environment's death.
pub fn part(
  env: sys::napi_env,
  slab: Arc<Slab>,
  from: usize,
  len: usize,
) -> napi::Result<sys::napi_value> {
  shown_part(env, slab, from, len)?.ok_or_else(|| {
    let text = "this runtime forbids external ArrayBuffers, which the ring's memory is shown as";
    napi::Error::new(napi::Status::GenericFailure, text)
  })
}

/// The first `len` bytes. `None`: this runtime forbids external ArrayBuffers.
pub fn shown(
  env: sys::napi_env,
  slab: Arc<Slab>,
  len: usize,
) -> napi::Result<Option<sys::napi_value>> {
  let len = len.min(slab.len());
  shown_part(env, slab, 0, len)
}

fn shown_part(
  env: sys::napi_env,
  slab: Arc<Slab>,
  from: usize,
  len: usize,
) -> napi::Result<Option<sys::napi_value>> {
  assert!(from.checked_add(len).is_some_and(|end| end <= slab.len()), "beyond the slab");
  let base = slab.base().wrapping_add(from);
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

/// Detaches an ArrayBuffer that shows the bytes at `address`. False: it shows others, or none any
/// more (somebody else may have them), or cannot be detached.
pub fn detach(env: sys::napi_env, value: sys::napi_value, address: *const u8) -> bool {
  let (mut data, mut len) = (std::ptr::null_mut(), 0);
  // SAFETY: I6: `env` and `value` are of the running call.
  let status = unsafe { sys::napi_get_arraybuffer_info(env, value, &mut data, &mut len) };
  if status != sys::Status::napi_ok || data.cast::<u8>().cast_const() != address {
    return false;
  }
  // SAFETY: I6: as above.
  unsafe { sys::napi_detach_arraybuffer(env, value) == sys::Status::napi_ok }
}

extern "C" fn release(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
  // SAFETY: I2: `hint` is the count made in `external`, dropped exactly once: Node-API calls a
  // finalizer once.
  drop(unsafe { Arc::from_raw(hint.cast::<Slab>()) });
}
