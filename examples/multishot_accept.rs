//! multishot_accept: a server that takes every connection with one operation, and its own clients.
//! Beside it: multishot_accept.ts; without ringcore: multishot_accept.node.mjs, .std.rs.
//!
//! ```text
//! cargo run --release --example multishot_accept -- 100
//! ```
//! The accept is submitted once; each connection is one more completion of it.

use ringcore::address::Address;
use ringcore::{op, run, spawn, Result};

/// A name that no file system has; nobody has to remove it.
fn address() -> Address {
  Address::Abstract(format!("ringcore-multishot-{}", std::process::id()).into_bytes())
}

/// Connects and waits for one byte.
async fn client() -> Result<()> {
  let fd = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await?;
  op::connect(fd, address()).await?;
  op::recv(fd, vec![0; 1], 0).await.0?;
  op::close(fd).await
}

async fn server(clients: usize) -> Result<usize> {
  let fd = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await?;
  op::bind(fd, address()).await?;
  op::listen(fd, 511).await?;
  let handles: Vec<_> = (0..clients).map(|_| spawn(client())).collect();
  let mut connections = op::accept_multishot(fd);
  let mut served = 0;
  while served < clients {
    let Some(connection) = connections.next().await else {
      break;
    };
    let connection = connection?;
    op::send(connection, vec![b'A'], 0).await.0?;
    op::close(connection).await?;
    served += 1;
  }
  drop(connections);
  for handle in handles {
    handle.await??;
  }
  op::close(fd).await?;
  Ok(served)
}

fn main() {
  let clients = std::env::args().nth(1).unwrap_or("100".into()).parse();
  let Ok(clients @ 1..) = clients else {
    eprintln!("usage: multishot_accept [CLIENTS]");
    std::process::exit(2);
  };
  match run(server(clients)).and_then(|result| result) {
    Ok(served) => println!("{served} connections"),
    Err(error) => {
      eprintln!("multishot_accept: {error}");
      std::process::exit(1);
    }
  }
}
