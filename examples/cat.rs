//! cat: prints files through the ring, byte for byte. Beside it: cat.ts.
//!
//! ```text
//! cargo run --release --example cat -- FILE...    `-` is standard input
//! ```
//! The same for every chunk: read into a buffer, write what came. A descriptor that would block (a
//! slow non-blocking pipe) is waited for by a poll on the ring; its flags are shared with other
//! processes and are never changed.

use ringcore::{op, Error, Options, Result, Runtime};
use std::cell::Cell;
use std::io::IsTerminal;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;

/// Reads once; a descriptor that has nothing yet is polled first.
async fn read(fd: i32, mut buffer: Vec<u8>) -> (Result<usize>, Vec<u8>) {
  loop {
    let result;
    (result, buffer) = op::read(fd, buffer, None).await;
    match result {
      Err(Error::Os { errno: libc::EAGAIN, .. }) => match op::poll_add(fd, POLLIN).await {
        Ok(_) => continue,
        Err(error) => return (Err(error), buffer),
      },
      result => return (result, buffer),
    }
  }
}

/// Writes everything: a count may be short.
async fn write_all(fd: i32, mut rest: Vec<u8>) -> Result<()> {
  while !rest.is_empty() {
    let result;
    (result, rest) = op::write(fd, rest, None).await;
    match result {
      Ok(count) => drop(rest.drain(..count)),
      Err(Error::Os { errno: libc::EAGAIN, .. }) => drop(op::poll_add(fd, POLLOUT).await?),
      Err(error) => return Err(error),
    }
  }
  Ok(())
}

/// A failure of the output ends the program; one of an input only that input.
enum Failure {
  Input(String),
  Output(Error),
}

/// Copies a descriptor to standard output until its end.
async fn copy(fd: i32, name: &str, bytes: &Cell<u64>) -> std::result::Result<(), Failure> {
  // Up to 256 KiB a cached read is done by this thread, inside the call that submits it.
  let mut buffer = vec![0; 256 << 10];
  loop {
    let result;
    (result, buffer) = read(fd, buffer).await;
    let count = result.map_err(|error| named(error, name))?;
    if count == 0 {
      return Ok(());
    }
    write_all(STDOUT, buffer[..count].to_vec()).await.map_err(Failure::Output)?;
    bytes.set(bytes.get() + count as u64);
  }
}

fn named(error: Error, name: &str) -> Failure {
  Failure::Input(error.with_path(Path::new(name)).to_string())
}

/// A regular file that is its own output would grow for ever.
#[allow(unsafe_code)]
fn is_output(fd: i32) -> bool {
  let stat = |fd: i32| {
    // SAFETY: I3: the descriptor is open for the whole call and not closed by this borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    std::fs::File::from(fd.try_clone_to_owned().ok()?).metadata().ok()
  };
  match (stat(fd), stat(STDOUT)) {
    (Some(file), Some(output)) => {
      let same = file.dev() == output.dev() && file.ino() == output.ino();
      file.is_file() && same && file.size() > 0
    }
    _ => false,
  }
}

async fn cat(path: &str, bytes: &Cell<u64>) -> std::result::Result<(), Failure> {
  if path == "-" {
    return copy(STDIN, path, bytes).await;
  }
  let fd = op::openat(libc::AT_FDCWD, path, libc::O_RDONLY, 0).await;
  let fd = fd.map_err(|error| named(error, path))?;
  let copied = if is_output(fd) {
    Err(Failure::Input(format!("input file is output file '{path}'")))
  } else {
    copy(fd, path, bytes).await
  };
  let closed = op::close(fd).await.map_err(|error| named(error, path));
  copied.and(closed)
}

fn main() {
  let started = Instant::now();
  let mut paths: Vec<String> = std::env::args().skip(1).collect();
  if paths.is_empty() {
    paths.push("-".into());
  }
  let runtime = match Runtime::new(Options::default()) {
    Ok(runtime) => runtime,
    Err(error) => {
      eprintln!("cat: {error}");
      std::process::exit(1);
    }
  };
  let bytes = Rc::new(Cell::new(0));
  let counted = bytes.clone();
  let code = runtime.run(async move {
    let mut code = 0;
    for path in &paths {
      match cat(path, &counted).await {
        Ok(()) => {}
        // Nobody reads any more, which is not our failure.
        Err(Failure::Output(Error::Os { errno: libc::EPIPE, .. })) => return code,
        Err(Failure::Output(error)) => {
          eprintln!("cat: {error}");
          return 1;
        }
        Err(Failure::Input(text)) => {
          eprintln!("cat: {text}");
          code = 1;
        }
      }
    }
    code
  });
  if std::io::stderr().is_terminal() {
    let stats = runtime.stats();
    eprintln!(
      "ring   {} turns, {} enters, {} operations, {} inline, 0 wakes",
      stats.turns, stats.enters, stats.completed, stats.inline
    );
    eprintln!("bytes  {}", bytes.get());
    eprintln!("time   {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
  }
  drop(runtime);
  std::process::exit(code);
}
