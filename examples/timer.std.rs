//! timer without ringcore: a thread for every timer.

use std::time::Duration;

fn main() {
  let durations: Vec<Option<u64>> = std::env::args().skip(1).map(|ms| ms.parse().ok()).collect();
  if durations.is_empty() || durations.contains(&None) {
    eprintln!("usage: timer MILLISECONDS...");
    std::process::exit(2);
  }
  let start = |ms: u64| {
    std::thread::spawn(move || {
      std::thread::sleep(Duration::from_millis(ms));
      println!("{ms} ms");
    })
  };
  let threads: Vec<_> = durations.iter().flatten().map(|ms| start(*ms)).collect();
  let count = threads.len();
  threads.into_iter().for_each(|thread| thread.join().expect("a timer does not panic"));
  println!("{count} timers");
}
