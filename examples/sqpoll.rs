//! sqpoll: adds up the bytes of a file, in batches, while a thread of the kernel polls the ring.
//! Beside it: sqpoll.ts; without ringcore: sqpoll.node.mjs, sqpoll.std.rs.
//!
//! ```text
//! cargo run --release --example sqpoll -- FILE
//! ```
//! The polling thread takes the operations out of shared memory. This one enters the kernel to wake
//! it, if it has slept since, and to wait: compare the two numbers of the second line.

use ringcore::{all, op, Options, Result, Runtime, Sqpoll};

const BLOCK: usize = 4096;
const BATCH: usize = 32;

/// Reads the file batch by batch. How many there were, and the sum of all bytes.
async fn add(path: String) -> Result<(usize, u64)> {
  let fd = op::openat(libc::AT_FDCWD, path.as_str(), libc::O_RDONLY, 0).await?;
  let mut buffers = vec![vec![0; BLOCK]; BATCH];
  let (mut batches, mut sum, mut end) = (0, 0, false);
  let mut failed = Ok(());
  while !end {
    let first = batches * BATCH * BLOCK;
    let offset = |i: usize| Some((first + i * BLOCK) as u64);
    let reads = buffers.drain(..).enumerate().map(|(i, buffer)| op::read(fd, buffer, offset(i)));
    for (result, buffer) in all(reads.collect()).await {
      match result {
        Ok(count) => {
          sum += buffer[..count].iter().map(|byte| *byte as u64).sum::<u64>();
          end |= count < BLOCK;
        }
        Err(error) => (failed, end) = (Err(error), true),
      }
      buffers.push(buffer);
    }
    batches += 1;
  }
  op::close(fd).await?;
  failed.map(|()| (batches, sum))
}

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: sqpoll FILE");
    std::process::exit(2);
  };
  let sqpoll = Some(Sqpoll { idle_ms: 2000, cpu: None });
  let ended = Runtime::new(Options { sqpoll, ..Options::default() }).and_then(|runtime| {
    let (batches, sum) = runtime.run(add(path))?;
    println!("the bytes add up to {sum}");
    println!("{batches} batches, {} system calls", runtime.stats().enters);
    Ok(())
  });
  if let Err(error) = ended {
    eprintln!("sqpoll: {error}");
    std::process::exit(1);
  }
}
