//! linked_cat: prints a file by chains of two operations: read, then write, one submission for
//! both. Beside it: linked_cat.ts; without ringcore: linked_cat.node.mjs, linked_cat.std.rs.
//!
//! ```text
//! cargo run --release --example linked_cat -- FILE
//! ```
//! Both name the same bytes, so that the kernel writes what it has just read. The last read is
//! short, which ends its chain: the write behind it never runs.

use ringcore::buffer::alloc;
use ringcore::{op, run, Error, Result};
use std::io::IsTerminal;

const STDOUT: i32 = 1;
const POLLOUT: u32 = 4;

/// What a member of a chain that was cut has moved: nothing.
fn moved(result: Result<usize>) -> Result<usize> {
  match result {
    Err(Error::Abort | Error::Os { errno: libc::EAGAIN, .. }) => Ok(0),
    other => other,
  }
}

async fn write_all(mut rest: Vec<u8>) -> Result<()> {
  while !rest.is_empty() {
    let result;
    (result, rest) = op::write(STDOUT, rest, None).await;
    match moved(result)? {
      0 => drop(op::poll_add(STDOUT, POLLOUT).await?),
      count => drop(rest.drain(..count)),
    }
  }
  Ok(())
}

async fn linked_cat(path: &str) -> Result<usize> {
  let fd = op::openat(libc::AT_FDCWD, path, libc::O_RDONLY, 0).await?;
  let buffer = alloc(64 * 1024)?;
  let (mut offset, mut chains) = (0, 0);
  loop {
    let read = op::read(fd, buffer.clone(), Some(offset));
    let write = op::write(STDOUT, buffer.clone(), None);
    chains += 1;
    let ((count, _), (written, _)) = op::link((read, write)).await;
    let (count, written) = (count?, moved(written)?);
    if count == 0 {
      break;
    }
    write_all(buffer.to_vec(count).split_off(written)).await?;
    offset += count as u64;
  }
  op::close(fd).await?;
  Ok(chains)
}

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: linked_cat FILE");
    std::process::exit(2);
  };
  match run(async move { linked_cat(&path).await }).and_then(|result| result) {
    Ok(chains) if std::io::stderr().is_terminal() => eprintln!("{chains} chains"),
    Ok(_) | Err(Error::Os { errno: libc::EPIPE, .. }) => {}
    Err(error) => {
      eprintln!("linked_cat: {error}");
      std::process::exit(1);
    }
  }
}
