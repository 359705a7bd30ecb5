//! The parker: what waits for the ring's eventfd and wakes JavaScript. There are two.
//!
//! ```text
//! uv_poll, on Node:   event loop: epoll(eventfd) ──> read it ──> onWake() ──> turn: reap, park
//!
//! thread, elsewhere:  parker thread: read(eventfd) ──> token was clear? set it, call the function
//!                     event loop: onWake() ──> turn: clear the token, reap, park
//! ```
//! The thread is Node-API only and works everywhere; a wake-up is two hops there. The token keeps
//! its function's queue at one entry. The turn clears it before it parks: a signal that comes after
//! the clear makes a new call, one that comes before is reaped by this turn.

use super::check;
use super::poll::Poll;
use napi::sys;
use ringcore::kernel::{signal_eventfd, wait_eventfd};
use ringcore::wake::Token;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The raw handle of a threadsafe function.
#[derive(Clone, Copy)]
struct Function(sys::napi_threadsafe_function);

// SAFETY: I7: Node-API allows calls from any thread until the release, and the release comes after
// the join of the only other thread that has the handle.
unsafe impl Send for Function {}

impl Function {
  /// Asks the event loop for `onWake`. Carries no data, so a refused call loses nothing.
  fn call(self) {
    let mode = sys::ThreadsafeFunctionCallMode::nonblocking;
    // SAFETY: I7: not released before this thread is joined.
    unsafe { sys::napi_call_threadsafe_function(self.0, null_mut(), mode) };
  }
}

/// What waits for the eventfd.
pub enum Parker {
  Poll(Poll),
  Thread(Thread),
}

impl Parker {
  /// `poll`: the runtime is Node, whose event loop can watch the eventfd by itself.
  pub fn start(
    env: sys::napi_env,
    wake: sys::napi_value,
    eventfd: i32,
    poll: bool,
  ) -> napi::Result<Parker> {
    if poll && let Some(poll) = Poll::start(env, wake, eventfd) {
      return Ok(Parker::Poll(poll));
    }
    Thread::start(env, wake, eventfd).map(Parker::Thread)
  }

  /// Which one it is, for the doctor.
  pub fn name(&self) -> &'static str {
    match self {
      Parker::Poll(_) => "uv_poll",
      Parker::Thread(_) => "thread",
    }
  }

  /// The start of a turn: from here on a signal means a new call.
  pub fn clear_token(&self) {
    if let Parker::Thread(thread) = self {
      thread.token.clear();
    }
  }

  /// Whether operations in flight keep the process alive. A flag, not a counter.
  pub fn reference(&mut self, env: sys::napi_env, wanted: bool) {
    match self {
      Parker::Poll(poll) => poll.reference(wanted),
      Parker::Thread(thread) => thread.reference(env, wanted),
    }
  }

  /// I7, first half: nothing reads the eventfd or calls `onWake` any more.
  pub fn stop(&mut self) {
    match self {
      Parker::Poll(poll) => poll.stop(),
      Parker::Thread(thread) => thread.stop(),
    }
  }
}

/// A thread that only waits, and the threadsafe function that it calls.
pub struct Thread {
  function: Function,
  token: Arc<Token>,
  stop: Arc<AtomicBool>,
  eventfd: i32,
  thread: Option<JoinHandle<()>>,
  referenced: bool,
}

impl Thread {
  /// Starts it. The function is unreferenced: an idle ring never keeps the process alive.
  fn start(env: sys::napi_env, wake: sys::napi_value, eventfd: i32) -> napi::Result<Thread> {
    let (mut name, mut function) = (null_mut(), null_mut());
    let text = c"ringcore";
    // SAFETY: I6: `env` and `wake` belong to the running call; the text is static.
    let status = unsafe { sys::napi_create_string_utf8(env, text.as_ptr(), 8, &mut name) };
    check(status, "napi_create_string_utf8")?;
    // SAFETY: I6, I7: as above. No finalizer and no context: on Deno neither would be called.
    let status = unsafe {
      sys::napi_create_threadsafe_function(
        env,
        wake,
        null_mut(),
        name,
        0,
        1,
        null_mut(),
        None,
        null_mut(),
        Some(call_js),
        &mut function,
      )
    };
    check(status, "napi_create_threadsafe_function")?;
    let function = Function(function);
    let (token, stop) = (Arc::new(Token::new()), Arc::new(AtomicBool::new(false)));
    let mut parker = Thread {
      function,
      token: token.clone(),
      stop: stop.clone(),
      eventfd,
      thread: None,
      referenced: true,
    };
    parker.reference(env, false);
    let body = move || {
      let function = function;
      while wait_eventfd(eventfd) && !stop.load(Ordering::SeqCst) {
        if token.take() {
          function.call();
        }
      }
    };
    let builder = std::thread::Builder::new().name("ringcore".into()).stack_size(128 << 10);
    match builder.spawn(body) {
      Ok(thread) => parker.thread = Some(thread),
      Err(error) => {
        parker.stop();
        return Err(napi::Error::from_reason(format!("no thread for the parker: {error}")));
      }
    }
    Ok(parker)
  }

  fn reference(&mut self, env: sys::napi_env, wanted: bool) {
    if wanted == self.referenced {
      return;
    }
    self.referenced = wanted;
    // SAFETY: I6, I7: on the JavaScript thread, and the function is released only by `stop`, which
    // consumes the parker's use.
    unsafe {
      if wanted {
        sys::napi_ref_threadsafe_function(env, self.function.0);
      } else {
        sys::napi_unref_threadsafe_function(env, self.function.0);
      }
    }
  }

  /// Stop flag, poke the eventfd, join, release the function. In this order the thread never calls
  /// a released function (nodejs/node#65100).
  fn stop(&mut self) {
    self.stop.store(true, Ordering::SeqCst);
    signal_eventfd(self.eventfd);
    if let Some(thread) = self.thread.take() {
      let _ = thread.join();
    }
    let mode = sys::ThreadsafeFunctionReleaseMode::release;
    // SAFETY: I7: the thread that called it is joined; this is the last use of the handle.
    unsafe { sys::napi_release_threadsafe_function(self.function.0, mode) };
  }
}

/// Runs on the event loop. `env` is null when the environment dies with a call in the queue.
extern "C" fn call_js(
  env: sys::napi_env,
  wake: sys::napi_value,
  _context: *mut c_void,
  _data: *mut c_void,
) {
  if env.is_null() || wake.is_null() {
    return;
  }
  let mut this = null_mut();
  // SAFETY: I6: `env` is alive and this is its thread; `wake` is a handle of this call. An
  // exception stays pending, and the runtime reports it as uncaught.
  unsafe {
    sys::napi_get_undefined(env, &mut this);
    sys::napi_call_function(env, this, wake, 0, std::ptr::null(), null_mut());
  }
}
