//! fixed_buffer_bench: what a warm 4 KiB read costs into a vector that comes back, into memory of
//! the ring, and into registered memory of the ring. (In Rust nothing is ever copied.)
//! Beside it: fixed_buffer_bench.ts; without ringcore: fixed_buffer_bench.node.mjs, .std.rs.
//!
//! ```text
//! cargo run --release --example fixed_buffer_bench -- FILE [READS]
//! ```
//! The three take turns, and the least of five rounds counts: the rest is other people's work.

use ringcore::alloc::{alloc, registered};
use ringcore::{op, run, spawn, Result};
use std::time::Instant;

const BYTES: usize = 4096;
const DEPTH: usize = 32;
const ROUNDS: usize = 5;

/// Microseconds a read, 32 at a time, by tasks that `worker` makes.
macro_rules! measure {
  ($reads:expr, $buffer:expr, $read:expr) => {{
    let started = Instant::now();
    let mut workers = Vec::new();
    for place in 0..DEPTH {
      let mut buffer = $buffer;
      workers.push(spawn(async move {
        let mut index = place;
        while index < $reads {
          let result;
          (result, buffer) = $read(buffer, Some((index % 1000 * BYTES) as u64)).await;
          result?;
          index += DEPTH;
        }
        Ok(())
      }));
    }
    for worker in workers {
      worker.await??;
    }
    started.elapsed().as_secs_f64() * 1e6 / $reads as f64
  }};
}

async fn bench(path: &str, reads: usize) -> Result<()> {
  let fd = op::openat(libc::AT_FDCWD, path, libc::O_RDONLY, 0).await?;
  let mut best = [f64::INFINITY; 3];
  for _ in 0..ROUNDS {
    let owned = measure!(reads, vec![0; BYTES], |buffer, at| op::read(fd, buffer, at));
    let place = measure!(reads, alloc(BYTES)?, |buffer, at| op::read(fd, buffer, at));
    let fixed = measure!(reads, registered(BYTES)?, |buffer, at| op::read_fixed(fd, buffer, at));
    for (least, time) in best.iter_mut().zip([owned, place, fixed]) {
      *least = least.min(time);
    }
  }
  for (name, time) in ["owned", "in place", "registered"].iter().zip(best) {
    println!("{name:10} {time:.3} us a read");
  }
  op::close(fd).await
}

fn main() {
  let mut args = std::env::args().skip(1);
  let (path, reads) = (args.next(), args.next().unwrap_or("20000".into()).parse());
  let (Some(path), Ok(reads @ DEPTH..)) = (path, reads) else {
    eprintln!("usage: fixed_buffer_bench FILE [READS, at least {DEPTH}]");
    std::process::exit(2);
  };
  let ended = run(async move { bench(&path, reads).await }).and_then(|result| result);
  if let Err(error) = ended {
    eprintln!("fixed_buffer_bench: {error}");
    std::process::exit(1);
  }
}
