//! timeout_race: a read of standard input against a clock, twice: the combinator `timeout`, which
//! races two operations, and `op::with_timeout`, a chain whose limit the kernel keeps.
//! Beside it: timeout_race.ts; without ringcore: timeout_race.node.mjs, timeout_race.std.rs.
//!
//! ```text
//! cargo run --release --example timeout_race -- 500
//! ```
//! Whoever loses is cancelled: no read is left behind that would take the next bytes.

use ringcore::{op, run, timeout, Error, Result};
use std::time::Duration;

const STDIN: i32 = 0;

fn report(name: &str, result: Result<usize>) -> Result<()> {
  match result {
    Ok(count) => println!("{name}: {count} bytes"),
    Err(Error::Timeout) => println!("{name}: timed out"),
    Err(error) => return Err(error),
  }
  Ok(())
}

async fn attempts(limit: Duration) -> Result<()> {
  let read = timeout(op::read(STDIN, vec![0; 1024], None), limit).await;
  report("timeout", read.and_then(|(count, _)| count))?;
  let (count, _) = op::with_timeout(op::read(STDIN, vec![0; 1024], None), limit).await;
  report("withTimeout", count)
}

fn main() {
  let Ok(ms) = std::env::args().nth(1).unwrap_or("500".into()).parse() else {
    eprintln!("usage: timeout_race [MILLISECONDS]");
    std::process::exit(2);
  };
  let ended = run(attempts(Duration::from_millis(ms))).and_then(|result| result);
  if let Err(error) = ended {
    eprintln!("timeout_race: {error}");
    std::process::exit(1);
  }
}
