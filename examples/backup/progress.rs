//! How far backup is: a bar on a terminal, a line a second elsewhere. Beside it: progress.ts.

use ringcore::sleep;
use std::cell::Cell;
use std::io::{stderr, IsTerminal};
use std::time::{Duration, Instant};

const TERMINAL: Duration = Duration::from_millis(100);
const PLAIN: Duration = Duration::from_secs(1);

pub struct Progress {
  pub bytes: Cell<u64>,
  pub files: Cell<usize>,
  what: &'static str,
  all_bytes: u64,
  all_files: usize,
  started: Instant,
}

impl Progress {
  pub fn new(what: &'static str, all_bytes: u64, all_files: usize) -> Progress {
    let (bytes, files) = (Cell::new(0), Cell::new(0));
    Progress { bytes, files, what, all_bytes, all_files, started: Instant::now() }
  }

  pub fn add(&self, bytes: usize) {
    self.bytes.set(self.bytes.get() + bytes as u64);
  }

  pub fn count(&self) {
    self.files.set(self.files.get() + 1);
  }

  /// Draws until it is dropped.
  pub async fn run(&self) {
    let terminal = stderr().is_terminal();
    loop {
      sleep(if terminal { TERMINAL } else { PLAIN }).await;
      let seconds = self.started.elapsed().as_secs_f64();
      if !terminal {
        eprintln!("{}", self.line(seconds, 0));
        continue;
      }
      // The width may have changed since. A full last column would begin a new line.
      eprint!("\r{}\x1b[K", self.line(seconds, columns() - 1));
    }
  }

  /// As much as the width holds, the most important first. Without a width all, and no bar.
  pub fn line(&self, seconds: f64, width: usize) -> String {
    let (bytes, files) = (self.bytes.get(), self.files.get());
    let done = match self.all_bytes {
      0 => files as f64 / self.all_files.max(1) as f64,
      all => (bytes as f64 / all as f64).min(1.0),
    };
    let rate = if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
    let mut text = format!("{:3}%", (done * 100.0).floor());
    let parts = [
      format!("{} of {}", size(bytes as f64), size(self.all_bytes as f64)),
      format!("{files} of {} files", self.all_files),
      format!("{}/s", size(rate)),
      format!("{} left", clock(seconds * (1.0 - done) / done)),
    ];
    if width == 0 {
      return format!("{} {text}  {}", self.what, parts.join("  "));
    }
    for part in parts {
      if text.len() + 2 + part.len() > width {
        break;
      }
      text = format!("{text}  {part}");
    }
    let room = width.saturating_sub(text.len() + 3).min(30);
    if room < 5 {
      return text;
    }
    let filled = (done * room as f64) as usize;
    format!("[{}{}] {text}", "#".repeat(filled), ".".repeat(room - filled))
  }
}

/// Takes the bar off the terminal.
pub fn clear() {
  if stderr().is_terminal() {
    eprint!("\r\x1b[K");
  }
}

/// Bytes for people: 999 B, 1.0 kB, 12.3 MB.
pub fn size(mut value: f64) -> String {
  let mut unit = 0;
  while value >= 999.95 && unit < 4 {
    value /= 1000.0;
    unit += 1;
  }
  match unit {
    0 => format!("{} B", value.floor()),
    unit => format!("{value:.1} {}B", ["", "k", "M", "G", "T"][unit]),
  }
}

/// 0:07, 12:34, 1:02:03.
fn clock(seconds: f64) -> String {
  if !seconds.is_finite() {
    return "-:--".into();
  }
  let whole = seconds.ceil() as u64;
  match (whole / 3600, whole / 60 % 60, whole % 60) {
    (0, m, s) => format!("{m}:{s:02}"),
    (h, m, s) => format!("{h}:{m:02}:{s:02}"),
  }
}

/// How wide the terminal is.
#[allow(unsafe_code)]
fn columns() -> usize {
  let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
  // SAFETY: I1 is about the ring; this call is synchronous and fills the struct that it is given.
  let known = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &mut size) } == 0;
  if known && size.ws_col > 0 {
    size.ws_col as usize
  } else {
    80
  }
}
