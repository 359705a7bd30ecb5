//! Refusals are explained: which wall it was, and what to do about it.

use ringcore::probe::{explain, probe, Surroundings};

fn around(io_uring_disabled: Option<i32>) -> Surroundings {
  Surroundings { kernel: "6.1.0-test".into(), io_uring_disabled, memlock: 65536, nofile: 1024 }
}

#[test]
fn each_errno_of_set_up_names_its_wall_and_its_way_out() {
  for (errno, sysctl, reason, advice) in [
    (libc::EPERM, None, "seccomp", "seccomp"),
    (libc::EPERM, Some(0), "seccomp", "seccomp"),
    (libc::EPERM, Some(1), "io_uring_disabled is 1", "group"),
    (libc::EPERM, Some(2), "io_uring_disabled is 2", "sysctl"),
    (libc::EACCES, Some(0), "security module", "seccomp"),
    (libc::ENOSYS, Some(0), "ENOSYS", "CONFIG_IO_URING"),
    (libc::EINVAL, Some(0), "EINVAL", "Linux 5.6"),
    (libc::EOPNOTSUPP, Some(0), "EOPNOTSUPP", "sandbox"),
    (libc::ENOMEM, Some(0), "RLIMIT_MEMLOCK", "ulimit -l"),
    (libc::EMFILE, Some(0), "RLIMIT_NOFILE", "ulimit -n"),
    (libc::ENFILE, Some(0), "ENFILE", "fs.file-max"),
  ] {
    let (said, advised) = explain(errno, &around(sysctl));
    assert!(said.contains(reason), "{errno} {sysctl:?}: {said}");
    assert!(advised.contains(advice), "{errno} {sysctl:?}: {advised}");
  }
}

#[test]
fn this_machine_has_a_ring_and_every_operation() {
  let probe = probe();
  assert!(probe.available, "{:?}", probe.reason);
  assert!(probe.reason.is_none() && probe.advice.is_none());
  let missing: Vec<_> = probe.ops.iter().filter(|(_, has)| !has).collect();
  assert!(missing.is_empty(), "{missing:?}");
  assert_eq!(probe.ops.len(), ringcore::table::OPS.len());
  for name in ["NODROP", "FAST_POLL", "EXT_ARG"] {
    assert!(probe.features.contains(&name), "{name} in {:?}", probe.features);
  }
  assert!(!probe.flags.is_empty() && !probe.around.kernel.is_empty());
  assert!(probe.around.nofile > 0);
}
