//! Socket addresses, and their bytes as the kernel has them.
//! Pair: src/address.ts
//!
//! ```text
//! IPv4   family 2 | port 2, big-endian | address 4 | zeros 8
//! IPv6   family 2 | port 2, big-endian | flow 4 | address 16 | scope id 4
//! unix   family 2 | path, NUL          abstract: NUL, name          unnamed: nothing
//! ```

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

// PAIR: Address
/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
  Inet(SocketAddr),
  /// A socket in the file system.
  Path(PathBuf),
  /// A name of Linux that no file system has.
  Abstract(Vec<u8>),
  /// A unix socket without a name.
  Unnamed,
}

impl From<SocketAddr> for Address {
  fn from(address: SocketAddr) -> Address {
    Address::Inet(address)
  }
}

impl From<&Path> for Address {
  fn from(path: &Path) -> Address {
    Address::Path(path.into())
  }
}

impl fmt::Display for Address {
  fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match self {
      // As Node writes them: without the brackets.
      Address::Inet(address) if address.port() > 0 => {
        write!(f, "{}:{}", address.ip(), address.port())
      }
      Address::Inet(address) => write!(f, "{}", address.ip()),
      Address::Path(path) => write!(f, "{}", path.display()),
      Address::Abstract(name) => write!(f, "\0{}", String::from_utf8_lossy(name)),
      Address::Unnamed => Ok(()),
    }
  }
}

/// Room for a path in struct sockaddr_un.
const UNIX_PATH: usize = 108;

// PAIR: encode
/// The bytes of an address; the error of a wrong one.
pub fn encode(address: &Address) -> Result<Vec<u8>> {
  let mut bytes = Vec::with_capacity(28);
  let mut put = |part: &[u8]| bytes.extend_from_slice(part);
  match address {
    Address::Inet(SocketAddr::V4(v4)) => {
      put(&(libc::AF_INET as u16).to_ne_bytes());
      put(&v4.port().to_be_bytes());
      put(&v4.ip().octets());
      put(&[0; 8]);
    }
    Address::Inet(SocketAddr::V6(v6)) => {
      put(&(libc::AF_INET6 as u16).to_ne_bytes());
      put(&v6.port().to_be_bytes());
      // The standard library's number is the field as it lies in memory.
      put(&v6.flowinfo().to_ne_bytes());
      put(&v6.ip().octets());
      put(&v6.scope_id().to_ne_bytes());
    }
    Address::Path(path) => {
      let path = path.as_os_str().as_bytes();
      if path.is_empty() || path.contains(&0) {
        return Err(Error::Invalid(
          "a socket's path must not be empty or contain NUL bytes".into(),
        ));
      }
      // It ends with NUL, an abstract name with the length of the address.
      check_length(path.len(), UNIX_PATH - 1)?;
      put(&(libc::AF_UNIX as u16).to_ne_bytes());
      put(path);
      put(&[0]);
    }
    Address::Abstract(name) => {
      check_length(name.len() + 1, UNIX_PATH)?;
      put(&(libc::AF_UNIX as u16).to_ne_bytes());
      put(&[0]);
      put(name);
    }
    Address::Unnamed => put(&(libc::AF_UNIX as u16).to_ne_bytes()),
  }
  Ok(bytes)
}

fn check_length(length: usize, most: usize) -> Result<()> {
  if length > most {
    return Err(Error::Invalid(format!("a socket's path of {length} bytes, {most} fit")));
  }
  Ok(())
}

// PAIR: decode
/// The address in these bytes; `None`: of a family that is not known here, or of no length.
pub fn decode(bytes: &[u8]) -> Option<Address> {
  let family = i32::from(u16::from_ne_bytes(part(bytes, 0)?));
  if family == libc::AF_UNIX {
    return Some(unix_path(&bytes[2..]));
  }
  let port = u16::from_be_bytes(part(bytes, 2)?);
  match family {
    libc::AF_INET => {
      let ip = Ipv4Addr::from(part::<4>(bytes, 4)?);
      Some(Address::Inet(SocketAddr::V4(SocketAddrV4::new(ip, port))))
    }
    libc::AF_INET6 => {
      let ip = Ipv6Addr::from(part::<16>(bytes, 8)?);
      let flow = u32::from_ne_bytes(part(bytes, 4)?);
      let scope = u32::from_ne_bytes(part(bytes, 24)?);
      Some(Address::Inet(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope))))
    }
    _ => None,
  }
}

fn part<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
  bytes.get(from..from + N)?.try_into().ok()
}

fn unix_path(bytes: &[u8]) -> Address {
  match bytes.first() {
    None => Address::Unnamed,
    Some(0) => Address::Abstract(bytes[1..].to_vec()),
    Some(_) => {
      let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
      Address::Path(OsStr::from_bytes(&bytes[..end]).into())
    }
  }
}
