//! tee: standard input to standard output and to files.
//! Beside it: tee.ts; without ringcore: tee.node.mjs, tee.std.rs.
//!
//! ```text
//! some program | cargo run --release --example tee -- [-a] FILE... | another program
//!
//! -a   appends to the files
//! ```
//! Between two pipes nothing is copied: tee(2) gives standard output the same pages that standard
//! input has, and splice(2) then moves them into the file. Only what the kernel refuses (EINVAL: no
//! pipe on one side, a file opened to append, a second file) is read and written. Waiting is a poll
//! on the ring; nothing runs until there is something to do.

use ringcore::{all, op, run, Error, Result};
use std::ffi::OsString;
use std::io::IsTerminal;

const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;
/// As much as a pipe holds unless somebody has enlarged it.
const CHUNK: usize = 64 * 1024;

/// What gets a copy. One that fails is told once and left out from then on.
struct Output {
  fd: i32,
  name: String,
  /// False once the kernel has refused to.
  splices: bool,
  failed: bool,
}

/// Bytes that standard input brought, and those of them that this program never saw.
#[derive(Default)]
struct Totals {
  bytes: usize,
  moved: usize,
}

fn output(fd: i32, name: &str) -> Output {
  Output { fd, name: name.into(), splices: true, failed: false }
}

fn errno(error: &Error) -> i32 {
  match error {
    Error::Os { errno, .. } => *errno,
    _ => 0,
  }
}

/// Tells that an output failed. Err: nobody reads standard output any more, which ends the program
/// as quietly as SIGPIPE would.
fn fail(target: &mut Output, error: Error) -> Result<()> {
  if target.fd == STDOUT && errno(&error) == libc::EPIPE {
    return Err(error);
  }
  eprintln!("tee: '{}': {error}", target.name);
  (target.failed, target.splices) = (true, false);
  Ok(())
}

/// Writes everything to one output. A descriptor that would block is polled.
async fn write(fd: i32, mut rest: Vec<u8>) -> Result<()> {
  while !rest.is_empty() {
    let result;
    (result, rest) = op::write(fd, rest, None).await;
    match result {
      Ok(count) => drop(rest.drain(..count)),
      Err(error) if errno(&error) == libc::EAGAIN => drop(op::poll_add(fd, POLLOUT).await?),
      Err(error) => return Err(error),
    }
  }
  Ok(())
}

/// Reads at most `most` bytes and writes them to every output. The count; 0 is the end.
async fn copy(outputs: &mut [Output], most: usize, totals: &mut Totals) -> Result<usize> {
  let mut buffer = vec![0; most];
  let count = loop {
    let result;
    (result, buffer) = op::read(STDIN, buffer, None).await;
    match result {
      Err(error) if errno(&error) == libc::EAGAIN => drop(op::poll_add(STDIN, POLLIN).await?),
      result => break result?,
    }
  };
  buffer.truncate(count);
  totals.bytes += count;
  let good: Vec<_> = outputs.iter_mut().filter(|target| !target.failed).collect();
  let writes = good.iter().map(|target| Box::pin(write(target.fd, buffer.clone()))).collect();
  for (target, written) in good.into_iter().zip(all(writes).await) {
    written.or_else(|error| fail(target, error))?;
  }
  Ok(count)
}

/// Moves at most `most` bytes into a file. 0: the kernel refuses.
async fn splice(target: &mut Output, most: usize, totals: &mut Totals) -> Result<usize> {
  match op::splice(STDIN, None, target.fd, None, most as u32, 0).await {
    Ok(count) => {
      totals.bytes += count;
      totals.moved += count;
      return Ok(count);
    }
    Err(error) if errno(&error) == libc::EINVAL => {}
    Err(error) => fail(target, error)?,
  }
  target.splices = false;
  Ok(0)
}

/// The bytes that standard output has already go to the files, which takes them off the pipe.
async fn consume(targets: &mut [Output], count: usize, totals: &mut Totals) -> Result<()> {
  let mut left = count;
  while left > 0 {
    let mut gone = match targets {
      [only] if only.splices => splice(only, left, totals).await?,
      _ => 0,
    };
    if gone == 0 {
      gone = copy(targets, left.min(CHUNK), totals).await?;
    }
    if gone == 0 {
      break; // Somebody else reads from this pipe as well.
    }
    left -= gone;
  }
  Ok(())
}

/// How many bytes standard output shares with standard input now; None: they cannot.
async fn duplicate() -> Result<Option<usize>> {
  loop {
    // The two polls are what waits. A worker thread of the kernel would have to wait in tee(2).
    op::poll_add(STDIN, POLLIN).await?;
    op::poll_add(STDOUT, POLLOUT).await?;
    match op::tee(STDIN, STDOUT, CHUNK as u32, 0).await {
      Err(error) if errno(&error) == libc::EAGAIN => {}
      Err(error) if errno(&error) == libc::EINVAL => return Ok(None),
      result => return result.map(Some),
    }
  }
}

/// Sends everything everywhere; whether every output has it.
async fn tee(append: bool, paths: Vec<OsString>) -> Result<bool> {
  let how = libc::O_WRONLY | libc::O_CREAT | if append { libc::O_APPEND } else { libc::O_TRUNC };
  let mut totals = Totals::default();
  let mut outputs = vec![output(STDOUT, "standard output")];
  for path in &paths {
    let mut target = output(-1, &path.to_string_lossy());
    match op::openat(libc::AT_FDCWD, path, how, 0o666).await {
      Ok(fd) => target.fd = fd,
      Err(error) => fail(&mut target, error)?,
    }
    outputs.push(target);
  }
  let mut shared = duplicate().await?;
  while let Some(count @ 1..) = shared {
    consume(&mut outputs[1..], count, &mut totals).await?;
    shared = duplicate().await?;
  }
  // No pipes: every byte comes by here.
  while shared.is_none() && copy(&mut outputs, CHUNK, &mut totals).await? > 0 {}
  if std::io::stderr().is_terminal() {
    eprintln!("{} bytes, {} of them never copied", totals.bytes, totals.moved);
  }
  Ok(outputs.iter().all(|target| !target.failed))
}

fn main() {
  let mut paths: Vec<OsString> = std::env::args_os().skip(1).collect();
  let first = paths.first().and_then(|word| word.to_str()).unwrap_or_default();
  let append = first == "-a";
  if append || first == "--" {
    paths.remove(0);
  } else if first.starts_with('-') {
    eprintln!("usage: tee [-a] FILE...");
    std::process::exit(2);
  }
  let code = match run(tee(append, paths)).and_then(|result| result) {
    Ok(whole) => !whole as i32,
    Err(error) if errno(&error) == libc::EPIPE => 141, // What a shell shows for SIGPIPE.
    Err(error) => {
      eprintln!("tee: {error}");
      1
    }
  };
  std::process::exit(code);
}
