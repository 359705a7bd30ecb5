//! Flags of the system calls behind operations; Rust programs take them from the `libc` crate.
//! Pair: src/constants.ts
//!
//! The TypeScript twin is generated from this file (`npm run constants`). Only what has the same
//! number on every machine is here; O_* and S_* are in `fs.constants` of Node.

/// Constants that belong together.
pub struct Group {
  pub doc: &'static str,
  pub list: &'static [(&'static str, i64)],
}

macro_rules! group {
  ($doc:literal: $($name:ident)+) => {
    Group { doc: $doc, list: &[$((stringify!($name), libc::$name as i64)),+] }
  };
}

// PAIR: only-rust CONSTANTS -- the generator's list, of which TypeScript's `constants` is made
/// Names and numbers as the kernel's.
#[rustfmt::skip]
pub const CONSTANTS: &[Group] = &[
  group!("`rwFlags` of reads and writes: preadv2(2)":
    RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND RWF_NOAPPEND RWF_ATOMIC RWF_DONTCACHE),
  group!("`op.fallocate`: fallocate(2)":
    FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE
    FALLOC_FL_INSERT_RANGE FALLOC_FL_UNSHARE_RANGE),
  group!("`op.fadvise`: posix_fadvise(2)":
    POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED
    POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE),
  group!("`op.splice` and `op.tee`: splice(2)":
    SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT),
  group!("`resolve` of `op.openat2`: openat2(2)":
    RESOLVE_NO_XDEV RESOLVE_NO_MAGICLINKS RESOLVE_NO_SYMLINKS RESOLVE_BENEATH RESOLVE_IN_ROOT
    RESOLVE_CACHED),
  group!("Operations on paths: openat(2), statx(2), unlinkat(2), linkat(2)":
    AT_FDCWD AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH
    AT_STATX_SYNC_AS_STAT AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC),
  group!("`op.renameat`: renameat2(2)":
    RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT),
  group!("`mask` of `op.statx`: statx(2)":
    STATX_TYPE STATX_MODE STATX_NLINK STATX_UID STATX_GID STATX_ATIME STATX_MTIME STATX_CTIME
    STATX_INO STATX_SIZE STATX_BLOCKS STATX_BASIC_STATS STATX_BTIME STATX_ALL STATX_MNT_ID
    STATX_DIOALIGN STATX_MNT_ID_UNIQUE STATX_SUBVOL STATX_WRITE_ATOMIC STATX_DIO_READ_ALIGN),
  group!("Domains of `op.socket`: socket(2)":
    AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_VSOCK),
  group!("Types of sockets: socket(2)":
    SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_SEQPACKET SOCK_NONBLOCK SOCK_CLOEXEC),
  group!("Protocols, where 0 is not enough: socket(2)":
    IPPROTO_ICMP IPPROTO_TCP IPPROTO_UDP IPPROTO_IPV6),
  group!("`backlog` of `op.listen`: listen(2)": SOMAXCONN),
  group!("`how` of `op.shutdown`: shutdown(2)": SHUT_RD SHUT_WR SHUT_RDWR),
  group!("Flags of send, recv and their messages: send(2), recv(2)":
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL
    MSG_CONFIRM MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_FASTOPEN MSG_CMSG_CLOEXEC),
  group!("Levels and types of control data: cmsg(3)": SOL_SOCKET SCM_RIGHTS SCM_CREDENTIALS),
  group!("`attributes` of a `Statx`: statx(2)":
    STATX_ATTR_COMPRESSED STATX_ATTR_IMMUTABLE STATX_ATTR_APPEND STATX_ATTR_NODUMP
    STATX_ATTR_ENCRYPTED STATX_ATTR_AUTOMOUNT STATX_ATTR_MOUNT_ROOT STATX_ATTR_VERITY
    STATX_ATTR_DAX STATX_ATTR_WRITE_ATOMIC),
];
