# Runs a command under a seccomp filter: seccomp.py ERRNO COMMAND. System calls 425 to 427 (the same
# numbers on every architecture: io_uring_setup, _enter, _register) fail with that errno.
import ctypes, os, struct, sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, AT_LEAST, GREATER, RETURN = 0x20, 0x35, 0x25, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
  _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


steps = [
  (LOAD, 0, 0, 0),  # the system call's number
  (AT_LEAST, 0, 2, 425),
  (GREATER, 1, 0, 427),
  (RETURN, 0, 0, ERRNO | int(sys.argv[1])),
  (RETURN, 0, 0, ALLOW),
]
code = b"".join(struct.pack("HBBI", *step) for step in steps)
buffer = ctypes.create_string_buffer(code, len(code))
program = Program(len(steps), ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
  sys.exit("prctl(PR_SET_NO_NEW_PRIVS) failed: %d" % ctypes.get_errno())
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
  sys.exit("prctl(PR_SET_SECCOMP) failed: %d" % ctypes.get_errno())
os.execvp(sys.argv[2], sys.argv[2:])
