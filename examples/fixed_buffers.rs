//! fixed_buffers: adds up the bytes of a file that is read into registered buffers.
//! Beside it: fixed_buffers.ts; without ringcore: fixed_buffers.node.mjs, fixed_buffers.std.rs.
//!
//! ```text
//! cargo run --release --example fixed_buffers -- FILE
//! ```
//! Registered memory is pinned once: the kernel need not look it up for every read. It counts
//! against `ulimit -l`.

use ringcore::alloc::registered;
use ringcore::{all, op, run, Result};

const CHUNK: usize = 64 * 1024;
const DEPTH: usize = 4;

async fn add(path: &str) -> Result<String> {
  let fd = op::openat(libc::AT_FDCWD, path, libc::O_RDONLY, 0).await?;
  let buffers = (0..DEPTH).map(|_| registered(CHUNK)).collect::<Result<Vec<_>>>()?;
  let (mut offset, mut sum) = (0, 0u64);
  loop {
    let reads = buffers
      .iter()
      .enumerate()
      .map(|(i, buffer)| op::read_fixed(fd, buffer.clone(), Some(offset + (i * CHUNK) as u64)));
    for (count, buffer) in all(reads.collect()).await {
      let count = count?;
      let bytes = buffer.memory().to_vec(count);
      sum += bytes.iter().map(|byte| *byte as u64).sum::<u64>();
      offset += count as u64;
      if count < CHUNK {
        op::close(fd).await?;
        return Ok(format!("{offset} bytes, sum {sum}"));
      }
    }
  }
}

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: fixed_buffers FILE");
    std::process::exit(2);
  };
  match run(async move { add(&path).await }).and_then(|result| result) {
    Ok(line) => println!("{line}"),
    Err(error) => {
      eprintln!("fixed_buffers: {error}");
      std::process::exit(1);
    }
  }
}
