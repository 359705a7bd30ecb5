//! Pair: __test__/address.spec.ts
mod support;

use ringcore::address::{decode, encode, Address};
use ringcore::mock::Random;
use ringcore::Error;
use std::ffi::OsStr;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use support::many;

fn inet(text: &str) -> Address {
  text.parse::<SocketAddr>().unwrap().into()
}

fn hex(bytes: &[u8]) -> String {
  bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path(text: &str) -> Address {
  Path::new(text).into()
}

#[track_caller]
fn there_and_back(address: Address, bytes: &str) {
  let encoded = encode(&address).unwrap();
  assert_eq!(hex(&encoded), bytes);
  assert_eq!(decode(&encoded), Some(address));
}

#[test]
fn an_ipv4_address_is_sixteen_bytes_with_its_port_big_endian() {
  there_and_back(inet("127.0.0.1:8080"), "02001f907f0000010000000000000000");
  there_and_back(inet("255.254.0.9:65535"), "0200fffffffe00090000000000000000");
}

#[test]
fn an_ipv6_address_has_its_scope_in_the_order_of_the_machine() {
  let (zeros, one) = ("0".repeat(8), "0".repeat(31));
  there_and_back(inet("[::1]:1"), &format!("0a000001{zeros}{one}1{zeros}"));
  let bytes = "0a0001bb00000000fe80000000000000000000000001000207000000";
  there_and_back(inet("[fe80::1:2%7]:443"), bytes);
}

#[test]
fn a_unix_path_ends_with_zero_and_an_abstract_name_with_the_length() {
  there_and_back(path("/a"), "01002f6100");
  there_and_back(Address::Abstract(b"ab\0".to_vec()), "010000616200");
  there_and_back(Address::Unnamed, "0100");
  // The kernel leaves out the zero of a path that fills all the room.
  let mut full = encode(&path(&"/".repeat(107))).unwrap();
  *full.last_mut().unwrap() = b'x';
  assert_eq!(decode(&full), Some(path(&format!("{}x", "/".repeat(107)))));
}

#[test]
fn a_path_that_is_not_utf_8_keeps_its_bytes() {
  let odd = Path::new(OsStr::from_bytes(&[0x2f, 0xff, 0xfe]));
  there_and_back(odd.into(), "01002ffffe00");
}

#[test]
fn bytes_that_are_no_address_are_none() {
  let none: [&[u8]; 6] = [
    &[],
    &[2],
    &[2, 0],
    &[2, 0, 31, 144],
    &[10, 0, 1, 187, 0, 0, 0, 0],
    &[16, 0, 0, 0, 0, 0, 0, 0],
  ];
  for bytes in none {
    assert_eq!(decode(bytes), None, "{bytes:?}");
  }
}

#[test]
fn every_address_comes_back_from_its_bytes() {
  let mut random = Random::new(7);
  for _ in 0..many(2000) {
    let mut groups = [0; 8];
    groups.fill_with(|| if random.chance(60) { 0 } else { random.next() as u16 });
    let ip = Ipv6Addr::from(groups);
    let v6 = SocketAddrV6::new(ip, random.next() as u16, random.next(), random.next());
    let address = Address::Inet(v6.into());
    assert_eq!(decode(&encode(&address).unwrap()), Some(address));
    let v4 = SocketAddr::from((random.next().to_be_bytes(), random.next() as u16));
    assert_eq!(decode(&encode(&v4.into()).unwrap()), Some(v4.into()));
  }
}

#[test]
fn a_path_that_is_too_long_or_has_a_zero_inside_is_an_error() {
  let invalid = |address| matches!(encode(&address), Err(Error::Invalid(_)));
  assert_eq!(encode(&path(&"p".repeat(107))).unwrap().len(), 110);
  assert_eq!(encode(&Address::Abstract(vec![7; 107])).unwrap().len(), 110);
  assert!(invalid(path(&"p".repeat(108))));
  assert!(invalid(path(&"€".repeat(36))), "bytes, not characters");
  assert!(invalid(Address::Abstract(vec![7; 108])));
  assert!(invalid(path("a\0b")));
  assert!(invalid(path("")), "a socket without a path is Address::Unnamed");
}

// PAIR: only-rust -- errors of TypeScript have the address as properties
#[test]
fn an_address_is_shown_as_node_shows_it() {
  assert_eq!(inet("127.0.0.1:1").to_string(), "127.0.0.1:1");
  assert_eq!(inet("[::1]:1").to_string(), "::1:1");
  assert_eq!(inet("127.0.0.1:0").to_string(), "127.0.0.1");
  assert_eq!(path("/run/x").to_string(), "/run/x");
  assert_eq!(Address::Abstract(b"name".to_vec()).to_string(), "\0name");
}
