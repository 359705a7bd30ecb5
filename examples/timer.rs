//! timer: one task for each argument sleeps that many milliseconds; they end in their own order.
//! Beside it: timer.ts; without ringcore: timer.node.mjs, timer.std.rs.
//!
//! ```text
//! cargo run --release --example timer -- 30 10 20
//! ```
//! Every sleep is one timeout of the kernel on the same ring; the thread waits for all at once.

use ringcore::{run, sleep, spawn};
use std::time::{Duration, Instant};

async fn timer(ms: u64) {
  let started = Instant::now();
  sleep(Duration::from_millis(ms)).await;
  let early = started.elapsed() < Duration::from_millis(ms);
  println!("{ms} ms{}", if early { ", too early" } else { "" });
}

fn main() {
  let durations: Vec<Option<u64>> = std::env::args().skip(1).map(|ms| ms.parse().ok()).collect();
  if durations.is_empty() || durations.contains(&None) {
    eprintln!("usage: timer MILLISECONDS...");
    std::process::exit(2);
  }
  let ended = run(async move {
    let handles: Vec<_> = durations.iter().flatten().map(|ms| spawn(timer(*ms))).collect();
    let count = handles.len();
    for handle in handles {
      handle.await.expect("nobody aborts a timer");
    }
    println!("{count} timers");
  });
  if let Err(error) = ended {
    eprintln!("timer: {error}");
    std::process::exit(1);
  }
}
