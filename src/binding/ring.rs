//! The ring as TypeScript holds it: shared memory and a few bare functions.

use super::{check, memory, now, parker::Parker, teardown};
use napi::bindgen_prelude::*;
use napi::{JsValue, sys};
use napi_derive::napi;
use ringcore::border::Border;
use ringcore::cqe::{H_CLOSED, H_FATAL, H_MORE, H_REFERENCED};
use ringcore::error::Error as RingError;
use ringcore::kernel::{DRAIN_BOUND, Kernel};
use ringcore::ring::Ring;
use ringcore::setup::{Allow, MaxWorkers, Options, RingFd, Sqpoll};
use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// What the bare functions, the object and the hook share. Only the JavaScript thread looks inside.
pub struct Shared {
  border: RefCell<Option<Border>>,
  parker: RefCell<Option<Parker>>,
}

// SAFETY: I6: everything inside is used on the environment's own thread: the bare functions, the
// object's methods and the hook all run there. What may happen elsewhere (finalizers on Deno) is
// the drop of a count, and by then the hook has emptied both cells.
unsafe impl Send for Shared {}
// SAFETY: I6: as above.
unsafe impl Sync for Shared {}

impl Shared {
  /// 2 submit, 3 reap, 4 park.
  fn turn(&self) {
    if let Some(parker) = &*self.parker.borrow() {
      parker.clear_token();
    }
    if let Some(border) = &mut *self.border.borrow_mut() {
      border.turn();
    }
  }

  /// A look at a small file.
  fn look(&self) {
    if let Some(border) = &mut *self.border.borrow_mut() {
      border.look();
    }
  }

  /// Reads what a look has found larger, into a Uint8Array.
  fn fill(&self, env: sys::napi_env, bytes: sys::napi_value) {
    let (Some((base, size)), Some(border)) =
      (now::bytes_of(env, bytes), &mut *self.border.borrow_mut())
    else {
      return;
    };
    // SAFETY: I1: the view's bytes. They stay where they are until JavaScript runs again, which is
    // after this call, and the kernel keeps nothing of it.
    border.fill(unsafe { std::slice::from_raw_parts_mut(base.cast(), size) });
  }

  /// A look at a file's metadata.
  fn stat(&self) {
    if let Some(border) = &mut *self.border.borrow_mut() {
      border.stat();
    }
  }

  /// Sets the parker's reference as H_REFERENCED asks.
  fn keep_alive(&self, env: sys::napi_env) {
    let wanted = self.border.borrow().as_ref().is_some_and(|border| border.get(H_REFERENCED) == 1);
    if let Some(parker) = &mut *self.parker.borrow_mut() {
      parker.reference(env, wanted);
    }
  }

  /// I7: the parker first, then the ring. False: memory was leaked on purpose.
  fn close(&self) -> bool {
    if let Some(mut parker) = self.parker.borrow_mut().take() {
      parker.stop();
    }
    self.border.borrow_mut().as_mut().is_none_or(|border| border.close(DRAIN_BOUND))
  }

  /// The environment dies: nobody will take what comes now.
  pub fn teardown(&self) {
    self.close();
    if let Some(mut border) = self.border.borrow_mut().take() {
      border.abandon_completions();
    }
  }

  /// A bug of ours: the ring answers nothing any more, and says so.
  fn panicked(&self) {
    if let Ok(mut border) = self.border.try_borrow_mut()
      && let Some(border) = &mut *border
    {
      border.set(H_FATAL, libc::EIO as u32);
      border.set(H_MORE, 0);
    }
  }
}

/// How a ring is made.
#[napi(object)]
pub struct NativeOptions {
  pub entries: u32,
  pub cq_entries: u32,
  pub memory_limit: f64,
  /// Milliseconds; without it there is no polling thread.
  pub sqpoll_idle: Option<u32>,
  pub sqpoll_cpu: Option<u32>,
  /// Bounded and unbounded.
  pub max_workers: Option<Vec<u32>>,
  /// Names of operations.
  pub allow: Option<Vec<String>>,
  /// The event loop is libuv's and may watch the eventfd itself.
  pub poll: bool,
}

/// The same for the core. Numbers and names were checked in TypeScript.
fn core_options(options: &NativeOptions) -> std::result::Result<Options, RingError> {
  let NativeOptions { entries, cq_entries, .. } = *options;
  let cpu = options.sqpoll_cpu;
  let names = options.allow.as_ref().map(|names| names.iter().map(String::as_str));
  let allow = names.map(|names| Allow::of(&names.collect::<Vec<_>>())).transpose()?;
  Ok(Options {
    entries,
    cq_entries,
    memory_limit: options.memory_limit as usize,
    sqpoll: options.sqpoll_idle.map(|idle_ms| Sqpoll { idle_ms, cpu }),
    attach: None,
    max_workers: match options.max_workers.as_deref() {
      Some(&[bounded, unbounded]) => Some(MaxWorkers { bounded, unbounded }),
      _ => None,
    },
    allow,
  })
}

/// Why there is no ring.
#[napi(object)]
pub struct NativeRefusal {
  pub code: String,
  pub message: String,
  pub reason: String,
  pub advice: String,
}

/// New regions: ids from `first`, `count` of them, `bytes` each, side by side in `memory`.
#[napi(object)]
pub struct NativeGrowth<'env> {
  pub first: u32,
  pub count: u32,
  pub bytes: u32,
  #[napi(ts_type = "ArrayBuffer")]
  pub memory: Unknown<'env>,
}

/// A group of buffers: `id` begins at `first + id * stride` of `memory`.
#[napi(object)]
pub struct NativeGroup<'env> {
  pub id: u32,
  pub first: f64,
  pub stride: u32,
  #[napi(ts_type = "ArrayBuffer")]
  pub memory: Unknown<'env>,
}

/// Memory of `buffer.alloc`. Without `memory`: this runtime forbids external ArrayBuffers.
#[napi(object)]
pub struct NativeAllocation<'env> {
  pub id: u32,
  #[napi(ts_type = "ArrayBuffer")]
  pub memory: Option<Unknown<'env>>,
}

/// What the ring was made with.
#[napi(object)]
pub struct NativeInfo {
  pub flags: Vec<String>,
  pub entries: u32,
  pub cq_entries: u32,
  /// What waits for completions: `uv_poll` or `thread`.
  pub parker: String,
}

#[napi]
pub struct NativeRing {
  shared: Arc<Shared>,
  flags: Vec<String>,
  entries: (u32, u32),
  parker: &'static str,
  /// For rings that attach to this one, while it is open.
  fd: RingFd,
}

/// Makes a ring on this thread. `onWake` is called without arguments when completions wait.
#[napi(catch_unwind)]
pub fn open_ring(
  env: Env,
  options: NativeOptions,
  on_wake: Function<'_, (), ()>,
  attach: Option<&NativeRing>,
) -> Result<Either<NativeRing, NativeRefusal>> {
  match make(env.raw(), &options, on_wake.raw(), attach) {
    Ok(ring) => Ok(Either::A(ring?)),
    Err(error) => Ok(Either::B(refusal(&error))),
  }
}

fn make(
  env: sys::napi_env,
  options: &NativeOptions,
  wake: sys::napi_value,
  attach: Option<&NativeRing>,
) -> std::result::Result<Result<NativeRing>, RingError> {
  let poll = options.poll;
  let mut options = core_options(options)?;
  if let Some(other) = attach {
    // The descriptor of a closed ring may be somebody else's by now.
    let open = other.shared.border.borrow().as_ref().is_some_and(|b| b.get(H_CLOSED) == 0);
    options.attach = Some(other.fd).filter(|_| open);
    options.attach.ok_or(RingError::Closed)?;
  }
  let kernel = Kernel::open(&options)?;
  let (eventfd, entries) = (kernel.eventfd(), kernel.entries());
  let flags = kernel.flags().names().iter().map(|name| name.to_string()).collect();
  let (missing, fd) = (kernel.missing(), kernel.fd());
  let mut ring = Ring::new(Box::new(kernel), options.memory_limit)?;
  ring.allow = options.allow;
  let mut border = Border::new(ring, eventfd)?;
  border.set_missing(missing);
  let parker = match Parker::start(env, wake, eventfd, poll) {
    Ok(parker) => parker,
    Err(error) => return Ok(Err(error)),
  };
  let name = parker.name();
  let (border, parker) = (RefCell::new(Some(border)), RefCell::new(Some(parker)));
  let shared = Arc::new(Shared { border, parker });
  if let Err(error) = teardown::register(env, &shared) {
    shared.teardown();
    return Ok(Err(error));
  }
  Ok(Ok(NativeRing { shared, flags, entries, parker: name, fd }))
}

fn refusal(error: &RingError) -> NativeRefusal {
  let (reason, advice) = match error {
    RingError::Unavailable { reason, advice } => (reason.clone(), advice.clone()),
    other => (other.to_string(), String::new()),
  };
  NativeRefusal { code: error.code().into(), message: error.to_string(), reason, advice }
}

#[napi]
impl NativeRing {
  /// The border's memory: header, descriptors, completions, inputs.
  #[napi(catch_unwind, ts_return_type = "ArrayBuffer")]
  pub fn memory<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    let border = self.shared.border.borrow();
    let slab = border.as_ref().ok_or_else(closed)?.memory().clone();
    let value = memory::external(env.raw(), slab)?;
    // SAFETY: I6: a value of this call's environment.
    Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), value) })
  }

  /// The turn function: no arguments, nothing returned, the counts are words in the header. A
  /// hand-made function costs 17 ns where a method of this class costs 380.
  #[napi(catch_unwind, ts_return_type = "() => void")]
  pub fn turn<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    bare(env, c"turn", bare_turn, &self.shared)
  }

  /// The keep-alive function: makes the loop's reference what H_REFERENCED says.
  #[napi(catch_unwind, ts_return_type = "() => void")]
  pub fn keep_alive<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    bare(env, c"keepAlive", bare_keep_alive, &self.shared)
  }

  /// The function behind `readCached`: arguments and results are words in the header.
  #[napi(catch_unwind, ts_return_type = "() => void")]
  pub fn look<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    bare(env, c"look", bare_look, &self.shared)
  }

  /// The function behind `readLarger`: its results are words in the header.
  #[napi(catch_unwind, ts_return_type = "(bytes: Uint8Array) => void")]
  pub fn fill<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    bare(env, c"fill", bare_fill, &self.shared)
  }

  /// The function behind `statCached`, in the same way.
  #[napi(catch_unwind, ts_return_type = "() => void")]
  pub fn stat<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
    bare(env, c"stat", bare_stat, &self.shared)
  }

  /// More regions of a class; `null` at the memory limit, or when there is no memory.
  #[napi(catch_unwind)]
  pub fn grow<'env>(&self, env: &'env Env, size_class: u32) -> Result<Option<NativeGrowth<'env>>> {
    let mut border = self.shared.border.borrow_mut();
    let growth = match border.as_mut().ok_or_else(closed)?.grow(size_class as usize) {
      Ok(growth) => growth,
      Err(RingError::Memory { .. }) => return Ok(None),
      Err(other) => return Err(Error::from_reason(other.to_string())),
    };
    let value = memory::external(env.raw(), growth.slab)?;
    // SAFETY: I6: a value of this call's environment.
    let memory = unsafe { Unknown::from_raw_unchecked(env.raw(), value) };
    Ok(Some(NativeGrowth { first: growth.first, count: growth.count, bytes: growth.bytes, memory }))
  }

  /// A group of provided buffers; 0 at the memory limit, or a negative errno.
  #[napi(catch_unwind)]
  pub fn provide<'env>(
    &self,
    env: &'env Env,
    count: u32,
    size: u32,
  ) -> Result<Either<NativeGroup<'env>, i32>> {
    let mut border = self.shared.border.borrow_mut();
    let border = border.as_mut().ok_or_else(closed)?;
    let provided = match border.provide(count, size) {
      Ok(provided) => provided,
      Err(RingError::Memory { .. }) => return Ok(Either::B(0)),
      Err(RingError::Os { errno, .. }) => return Ok(Either::B(-errno)),
      Err(other) => return Err(Error::from_reason(other.to_string())),
    };
    let value = match memory::external(env.raw(), provided.slab) {
      Ok(value) => value,
      Err(error) => {
        let _ = border.ring.close_group(provided.id);
        return Err(error);
      }
    };
    // SAFETY: I6: a value of this call's environment.
    let memory = unsafe { Unknown::from_raw_unchecked(env.raw(), value) };
    let (id, first) = (provided.id as u32, provided.first as f64);
    Ok(Either::A(NativeGroup { id, first, stride: provided.stride as u32, memory }))
  }

  /// The first bytes of a lent buffer, which is not returned as long as they are shown; `null`: it
  /// is not lent, or shown already, or the ring is closed.
  #[napi(catch_unwind, ts_return_type = "ArrayBuffer | null")]
  pub fn show<'env>(
    &self,
    env: &'env Env,
    group: u32,
    buffer: u32,
    length: u32,
  ) -> Result<Option<Unknown<'env>>> {
    let mut border = self.shared.border.borrow_mut();
    let (group, buffer) = (group as u16, buffer as u16);
    let Some(groups) = border.as_mut().map(|border| &mut border.ring.groups) else {
      return Ok(None);
    };
    let Some((slab, from, size)) = groups.show(group, buffer) else {
      return Ok(None);
    };
    let value = match memory::part(env.raw(), slab, from, size.min(length as usize)) {
      Ok(value) => value,
      Err(error) => {
        groups.hide(group, buffer);
        return Err(error);
      }
    };
    // SAFETY: I6: a value of this call's environment.
    Ok(Some(unsafe { Unknown::from_raw_unchecked(env.raw(), value) }))
  }

  /// Detaches what `show` gave (`null`: it was collected), so that the buffer may be returned.
  /// False: it still shows the buffer's bytes, or never did.
  #[napi(catch_unwind)]
  pub fn hide(
    &self,
    env: &Env,
    group: u32,
    buffer: u32,
    #[napi(ts_arg_type = "ArrayBuffer | null")] bytes: Option<Unknown<'_>>,
  ) -> bool {
    let mut border = self.shared.border.borrow_mut();
    let Some(groups) = border.as_mut().map(|border| &mut border.ring.groups) else {
      return false; // Nothing is returned any more; the bytes stay as long as their ArrayBuffer.
    };
    let (group, buffer) = (group as u16, buffer as u16);
    let Some(address) = groups.shown(group, buffer) else {
      return false;
    };
    if bytes.is_some_and(|bytes| !memory::detach(env.raw(), bytes.raw(), address)) {
      return false;
    }
    groups.hide(group, buffer);
    true
  }

  /// Gives a slab of regions back by the first of them; how many bytes, 0 when one is in use.
  #[napi(catch_unwind)]
  pub fn shrink(&self, first: u32) -> u32 {
    self.shared.border.borrow_mut().as_mut().map_or(0, |border| border.shrink(first) as u32)
  }

  /// Memory for `buffer.alloc`; `null` at the memory limit, or when there is no memory.
  #[napi(catch_unwind)]
  pub fn alloc<'env>(
    &self,
    env: &'env Env,
    bytes: u32,
    align: u32,
    registered: bool,
  ) -> Result<Option<Either<NativeAllocation<'env>, NativeRefusal>>> {
    let mut border = self.shared.border.borrow_mut();
    let border = border.as_mut().ok_or_else(closed)?;
    let (id, slab) = match border.allocate(bytes, align as usize, registered) {
      Ok(allocated) => allocated,
      Err(RingError::Memory { .. }) => return Ok(None),
      Err(other) => return Ok(Some(Either::B(refusal(&other)))),
    };
    let value = match memory::shown(env.raw(), slab, bytes.max(1) as usize) {
      Ok(value) => value,
      Err(error) => {
        border.forget(id);
        return Err(error);
      }
    };
    // SAFETY: I6: a value of this call's environment.
    let memory = value.map(|value| unsafe { Unknown::from_raw_unchecked(env.raw(), value) });
    if memory.is_none() {
      border.forget(id);
    }
    Ok(Some(Either::A(NativeAllocation { id, memory })))
  }

  /// Makes the table of direct descriptors: how many slots, or a negative errno.
  #[napi(catch_unwind)]
  pub fn files(&self) -> i32 {
    let mut border = self.shared.border.borrow_mut();
    let made = border.as_mut().map(|border| border.ring.make_files());
    made.map_or(-libc::ECANCELED, |made| made.map_or_else(|errno| -errno, |count| count as i32))
  }

  /// The ArrayBuffer of an allocation was collected.
  #[napi(catch_unwind)]
  pub fn forget(&self, id: u32) {
    if let Some(border) = self.shared.border.borrow_mut().as_mut() {
      border.forget(id);
    }
  }

  /// What the ring was made with.
  #[napi(catch_unwind)]
  pub fn info(&self) -> NativeInfo {
    let (entries, cq_entries) = self.entries;
    let parker = self.parker.into();
    NativeInfo { flags: self.flags.clone(), entries, cq_entries, parker }
  }

  /// Ends everything and waits for it (I7). The last completions are in the list, more come with
  /// further turns while H_MORE is 1. False: something did not end, its memory is leaked.
  #[napi(catch_unwind)]
  pub fn close(&self, env: &Env) -> bool {
    teardown::unregister(env.raw(), &self.shared);
    self.shared.close()
  }

  /// After close and the last completions: lets the memory go.
  #[napi(catch_unwind)]
  pub fn free(&self) {
    self.shared.teardown();
  }
}

fn closed() -> Error {
  Error::from_reason("the ring is closed")
}

type Bare = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// A function with a data pointer and nothing else. It holds a count, dropped with the function.
fn bare<'env>(
  env: &'env Env,
  name: &std::ffi::CStr,
  function: Bare,
  shared: &Arc<Shared>,
) -> Result<Unknown<'env>> {
  let data = Arc::into_raw(shared.clone()).cast_mut().cast::<c_void>();
  let (raw, mut value) = (env.raw(), null_mut());
  let length = name.count_bytes() as isize;
  let text: *const c_char = name.as_ptr();
  // SAFETY: I6: `data` is a count that lives as long as the function, see the finalizer below.
  let status =
    unsafe { sys::napi_create_function(raw, text, length, Some(function), data, &mut value) };
  check(status, "napi_create_function")?;
  // SAFETY: I6: as above; the finalizer drops the count once. Were it not registered, the count
  // would leak, which is safe.
  let status =
    unsafe { sys::napi_add_finalizer(raw, value, data, Some(drop_shared), null_mut(), null_mut()) };
  check(status, "napi_add_finalizer")?;
  // SAFETY: I6: a value of this call's environment.
  Ok(unsafe { Unknown::from_raw_unchecked(raw, value) })
}

unsafe extern "C" fn drop_shared(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
  // SAFETY: I6: the count made in `bare`; a finalizer runs once.
  drop(unsafe { Arc::from_raw(data.cast::<Shared>().cast_const()) });
}

/// The data pointer of a bare function's call.
fn shared_of<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> Option<&'a Shared> {
  let mut data = null_mut();
  // SAFETY: I6: `env` and `info` are of the running call.
  unsafe { sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data) };
  // SAFETY: I6: the count made in `bare` lives as long as the function that is being called.
  unsafe { data.cast::<Shared>().as_ref() }
}

unsafe extern "C" fn bare_turn(
  env: sys::napi_env,
  info: sys::napi_callback_info,
) -> sys::napi_value {
  if let Some(shared) = shared_of(env, info) {
    guarded(env, shared, || shared.turn());
  }
  null_mut()
}

unsafe extern "C" fn bare_keep_alive(
  env: sys::napi_env,
  info: sys::napi_callback_info,
) -> sys::napi_value {
  if let Some(shared) = shared_of(env, info) {
    guarded(env, shared, || shared.keep_alive(env));
  }
  null_mut()
}

unsafe extern "C" fn bare_look(
  env: sys::napi_env,
  info: sys::napi_callback_info,
) -> sys::napi_value {
  if let Some(shared) = shared_of(env, info) {
    guarded(env, shared, || shared.look());
  }
  null_mut()
}

unsafe extern "C" fn bare_fill(
  env: sys::napi_env,
  info: sys::napi_callback_info,
) -> sys::napi_value {
  let (mut count, mut bytes) = (1, null_mut());
  // SAFETY: I6: `env` and `info` are of the running call; what was not given is undefined.
  unsafe {
    sys::napi_get_cb_info(env, info, &mut count, &mut bytes, null_mut(), null_mut());
  }
  if let Some(shared) = shared_of(env, info) {
    guarded(env, shared, || shared.fill(env, bytes));
  }
  null_mut()
}

unsafe extern "C" fn bare_stat(
  env: sys::napi_env,
  info: sys::napi_callback_info,
) -> sys::napi_value {
  if let Some(shared) = shared_of(env, info) {
    guarded(env, shared, || shared.stat());
  }
  null_mut()
}

/// I9: a panic becomes a JavaScript error and never crosses the border.
fn guarded(env: sys::napi_env, shared: &Shared, body: impl FnOnce()) {
  if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
    shared.panicked();
    let (code, text) = (c"ERR_RINGCORE_INTERNAL", c"ringcore: a bug in the native half");
    // SAFETY: I6: `env` is of the running call; both texts are static.
    unsafe { sys::napi_throw_error(env, code.as_ptr(), text.as_ptr()) };
  }
}
