//! The parker on Node: libuv's own event loop watches the eventfd, no thread is in between.
//!
//! ```text
//! event loop: epoll(eventfd) ──> on_readable: read it ──> onWake() ──> turn: reap, park
//! ```
//! One hop where the thread has two. The symbols are looked up at run time, and only when
//! TypeScript says that this is Node: Bun has some that end the process, Deno's watch once.

use napi::sys;
use ringcore::kernel::wait_eventfd;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute_copy;
use std::ptr::{NonNull, null, null_mut};

/// UV_POLL of uv_handle_type, proved by its name before it is used.
const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;

type Handle = *mut c_void;
type OnPoll = unsafe extern "C" fn(Handle, c_int, c_int);
type OnClose = unsafe extern "C" fn(Handle);

/// What libuv's stable interface gives (libuv 1.x; <https://docs.libuv.org/en/v1.x/poll.html>).
#[derive(Clone, Copy)]
struct Uv {
  poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, c_int) -> c_int,
  poll_start: unsafe extern "C" fn(Handle, c_int, OnPoll) -> c_int,
  poll_stop: unsafe extern "C" fn(Handle) -> c_int,
  close: unsafe extern "C" fn(Handle, OnClose),
  reference: unsafe extern "C" fn(Handle),
  unreference: unsafe extern "C" fn(Handle),
}

/// A function of the program that this module was loaded into.
///
/// # Safety
/// I9: `F` is the type of a C function pointer, and the one that the function has.
unsafe fn symbol<F>(name: &CStr) -> Option<F> {
  assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
  // SAFETY: I9: a static name; a symbol that is not there is null.
  let found = NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })?;
  // SAFETY: I9: both are pointers, and the caller vouches for what it points to.
  Some(unsafe { transmute_copy(&found) })
}

impl Uv {
  /// The functions, and how many bytes a handle of this libuv has.
  fn find() -> Option<(Uv, usize)> {
    // SAFETY: I9: each type is the one in libuv's documentation, unchanged since 1.19.
    unsafe {
      let size: unsafe extern "C" fn(c_int) -> usize = symbol(c"uv_handle_size")?;
      let name: unsafe extern "C" fn(c_int) -> *const c_char = symbol(c"uv_handle_type_name")?;
      let (size, name) = (size(UV_POLL), name(UV_POLL));
      if name.is_null() || CStr::from_ptr(name) != c"poll" {
        return None;
      }
      let uv = Uv {
        poll_init: symbol(c"uv_poll_init")?,
        poll_start: symbol(c"uv_poll_start")?,
        poll_stop: symbol(c"uv_poll_stop")?,
        close: symbol(c"uv_close")?,
        reference: symbol(c"uv_ref")?,
        unreference: symbol(c"uv_unref")?,
      };
      Some((uv, size))
    }
  }
}

/// What the callback needs; as long-lived as `Poll`, which owns it.
#[derive(Clone, Copy)]
struct Call {
  env: sys::napi_env,
  wake: sys::napi_ref,
  eventfd: c_int,
}

/// A uv_poll_t on the eventfd. Used on the JavaScript thread only (I6).
pub struct Poll {
  uv: Uv,
  /// From malloc; given to libuv's close, which frees it.
  handle: Handle,
  call: *mut Call,
  referenced: bool,
}

impl Poll {
  /// Watches the eventfd, without keeping the process alive. `None`: not with this runtime.
  pub fn start(env: sys::napi_env, wake: sys::napi_value, eventfd: c_int) -> Option<Poll> {
    let (uv, size) = Uv::find()?;
    let (mut event_loop, mut reference) = (null_mut(), null_mut());
    // SAFETY: I6: `env` is of the running call; the loop lives as long as it.
    if unsafe { sys::napi_get_uv_event_loop(env, &mut event_loop) } != sys::Status::napi_ok {
      return None;
    }
    // SAFETY: I7: libuv asks for that many bytes; freed below or by `stop`.
    let handle = unsafe { libc::calloc(1, size) };
    // SAFETY: I6, I7: the loop is this thread's, the memory fresh. Refused, it is not a handle.
    if handle.is_null() || unsafe { (uv.poll_init)(event_loop, handle, eventfd) } != 0 {
      // SAFETY: I7: nobody else knows it (or it is null).
      unsafe { libc::free(handle) };
      return None;
    }
    // SAFETY: I6: `wake` is a function of the running call. On failure `reference` stays null, and
    // the callback finds no function.
    unsafe { sys::napi_create_reference(env, wake, 1, &mut reference) };
    let call = Box::into_raw(Box::new(Call { env, wake: reference, eventfd }));
    let mut poll = Poll { uv, handle, call, referenced: true };
    // SAFETY: I6, I7: an initialised handle of this thread's loop, whose first word, `data`, is the
    // user's; `call` outlives its watching.
    let started = unsafe {
      handle.cast::<*mut Call>().write(call);
      !reference.is_null() && (uv.poll_start)(handle, UV_READABLE, on_readable) == 0
    };
    poll.reference(false);
    if started {
      return Some(poll);
    }
    poll.stop();
    // The thread that is started instead blocks on it.
    // SAFETY: I3: the ring's own descriptor; no memory is named.
    unsafe { libc::fcntl(eventfd, libc::F_SETFL, 0) };
    None
  }

  /// Whether the loop counts it as something to wait for.
  pub fn reference(&mut self, wanted: bool) {
    if wanted == self.referenced {
      return;
    }
    self.referenced = wanted;
    let change = if wanted { self.uv.reference } else { self.uv.unreference };
    // SAFETY: I7: closed only by `stop`, which ends the parker's use.
    unsafe { change(self.handle) };
  }

  /// Takes the eventfd out of the loop, at once; the handle's memory is freed by the loop's next
  /// round, by libc's own function: an environment that ends may unload this module before.
  pub fn stop(&mut self) {
    // SAFETY: I7: the first and only close of an open handle; libuv gives it to `free` exactly
    // once. `call` came from a Box, and no callback runs for a stopped handle.
    unsafe {
      (self.uv.poll_stop)(self.handle);
      (self.uv.close)(self.handle, libc::free);
      let call = Box::from_raw(self.call);
      if !call.wake.is_null() {
        sys::napi_delete_reference(call.env, call.wake);
      }
    }
  }
}

/// Runs on the event loop: completions wait, or work for the kernel that brings them.
unsafe extern "C" fn on_readable(handle: Handle, _status: c_int, _events: c_int) {
  // SAFETY: I7: `data`, set by `start` to what lives until `stop`, after which nothing calls this.
  let Call { env, wake, eventfd } = unsafe { **handle.cast::<*const Call>() };
  // Read before the turn looks: a signal that comes later makes the loop call once more.
  wait_eventfd(eventfd);
  let mut scope = null_mut();
  // SAFETY: I6: the environment's own thread, between two callbacks of its loop.
  if unsafe { sys::napi_open_handle_scope(env, &mut scope) } != sys::Status::napi_ok {
    return;
  }
  // SAFETY: I6: as above. From the call on neither `handle` nor its data is touched: JavaScript
  // may have closed the ring.
  unsafe {
    let (mut function, mut this) = (null_mut(), null_mut());
    sys::napi_get_reference_value(env, wake, &mut function);
    sys::napi_get_global(env, &mut this);
    if !function.is_null() && !this.is_null() {
      // With what a callback of the loop owes: nextTick and microtasks run when it returns.
      sys::napi_make_callback(env, null_mut(), this, function, 0, null(), null_mut());
      uncaught(env);
    }
    sys::napi_close_handle_scope(env, scope);
  }
}

/// An exception of the callback is reported as any other of the loop's.
unsafe fn uncaught(env: sys::napi_env) {
  let (mut pending, mut error) = (false, null_mut());
  // SAFETY: I6: called by `on_readable`, in its scope.
  unsafe {
    sys::napi_is_exception_pending(env, &mut pending);
    if pending && sys::napi_get_and_clear_last_exception(env, &mut error) == sys::Status::napi_ok {
      sys::napi_fatal_exception(env, error);
    }
  }
}
