//! multishot_accept without ringcore: one accept for every connection, a thread for every client.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

fn serve(clients: usize) -> std::io::Result<usize> {
  let name = format!("ringcore-multishot-{}", std::process::id());
  let address = SocketAddr::from_abstract_name(name)?;
  let listener = UnixListener::bind_addr(&address)?;
  let client =
    move || -> std::io::Result<()> { UnixStream::connect_addr(&address)?.read_exact(&mut [0]) };
  let threads: Vec<_> = (0..clients).map(|_| std::thread::spawn(client.clone())).collect();
  let mut served = 0;
  while served < clients {
    listener.accept()?.0.write_all(b"A")?;
    served += 1;
  }
  for thread in threads {
    thread.join().expect("a client does not panic")?;
  }
  Ok(served)
}

fn main() {
  let clients = std::env::args().nth(1).unwrap_or("100".into()).parse();
  let Ok(clients @ 1..) = clients else {
    eprintln!("usage: multishot_accept [CLIENTS]");
    std::process::exit(2);
  };
  match serve(clients) {
    Ok(served) => println!("{served} connections"),
    Err(error) => {
      eprintln!("multishot_accept: {error}");
      std::process::exit(1);
    }
  }
}
