// The table of `ringcore doctor` for machines that are not this one; cli.spec.ts runs it here.
// PAIR: only-typescript doctor -- Rust programs are started by cargo and have no command

import { constants } from 'node:os';
import { stripVTControlCharacters } from 'node:util';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { type Diagnosis, diagnose, table } from '../src/doctor.ts';
import { explain, probe } from '../src/probe.ts';

const here = await diagnose('1.2.3');
const changed = (found: Partial<Diagnosis>): Diagnosis => ({ ...here, ...found });

/** The lines, each at most 80 columns wide without its colours. */
function lines(t: ExecutionContext, found: Diagnosis): string[] {
  const plain = table(found, false);
  const coloured = table(found, true);
  t.is(stripVTControlCharacters(coloured), plain);
  t.not(coloured, plain);
  for (const line of plain.split('\n')) t.true(line.length <= 80, line);
  t.true(plain.endsWith('\n') && !plain.endsWith('\n\n'));
  return plain.trimEnd().split('\n');
}

/** What stands beside a name, its lines joined. */
function beside(t: ExecutionContext, found: Diagnosis, name: string): string {
  const all = lines(t, found);
  const at = all.findIndex((line) => line.startsWith(`  ${name} `));
  t.true(at >= 0, name);
  const more = all.slice(at + 1).findIndex((line) => !line.startsWith(' '.repeat(12)));
  const end = more < 0 ? all.length : at + 1 + more;
  return all
    .slice(at, end)
    .map((line) => line.slice(12))
    .join(' ');
}

test('any number of operations is listed, each once with its kernel', (t) => {
  for (const count of [1, 2, 7, 45, 64]) {
    for (const width of [3, 9, 17, 60]) {
      const names = Array.from({ length: count }, (_, at) => `o${at}`.padEnd(width, 'x'));
      const found = changed({
        ops: Object.fromEntries(names.map((name, at) => [name, at % 3 !== 1])),
        since: Object.fromEntries(names.map((name, at) => [name, `${5 + (at & 1)}.${at}`])),
      });
      const text = lines(t, found)
        .join('\n')
        .replace(/\n\n +reason[\s\S]*/, '');
      const cells = [...text.matchAll(/(o\d+x*) +(\d\.\d+) +(yes|no)\b/g)];
      t.deepEqual(
        cells.map(([, name, kernel, has]) => `${name} ${kernel} ${has}`).sort(),
        names
          .map((name) => `${name} ${found.since[name]} ${found.ops[name] ? 'yes' : 'no'}`)
          .sort(),
      );
    }
  }
});

test('operations that this kernel lacks are named with the kernel that has them all', (t) => {
  const names = ['nop', 'bind', 'ftruncate', 'waitid'];
  const found = changed({
    ops: Object.fromEntries(names.map((name) => [name, name === 'nop'])),
    since: { nop: '5.1', bind: '6.11', ftruncate: '6.9', waitid: '6.7' },
  });
  t.is(beside(t, found, 'reason'), 'this kernel lacks bind, ftruncate, waitid.');
  t.regex(beside(t, found, 'advice'), /^Linux 6\.11 or newer has every operation/);
  t.true(lines(t, found)[0]?.endsWith('io_uring works'));
});

test('every refusal has its reason and its way out in the table', (t) => {
  const { EPERM, ENOSYS, ENOMEM, EMFILE, ENFILE, EINVAL } = constants.errno;
  const refusals: [number, number | undefined, RegExp, RegExp][] = [
    [EPERM, 0, /seccomp/, /seccomp profile/],
    [ENOSYS, 0, /seccomp/, /CONFIG_IO_URING/],
    [EPERM, 1, /io_uring_disabled is 1/, /group/],
    [EPERM, 2, /io_uring_disabled is 2/, /sysctl kernel\.io_uring_disabled=0/],
    [ENOMEM, 0, /RLIMIT_MEMLOCK/, /ulimit -l/],
    [EMFILE, 0, /RLIMIT_NOFILE/, /ulimit -n/],
    [ENFILE, 0, /ENFILE/, /fs\.file-max/],
    [EINVAL, 0, /EINVAL/, /Linux 5\.6/],
  ];
  for (const [errno, sysctl, reason, advice] of refusals) {
    const [said, advised] = explain(errno, sysctl);
    const found = changed({ ok: false, backend: 'node', reason: said, advice: advised });
    t.true(lines(t, found)[0]?.endsWith('io_uring is refused'));
    t.is(beside(t, found, 'reason'), `${said}.`);
    t.is(beside(t, found, 'advice'), `${advised}.`);
    t.regex(said, reason);
    t.regex(advised, advice);
    t.regex(beside(t, found, 'backend'), /^node\b/);
  }
});

test('a sandbox that never wakes is refused', (t) => {
  const found = changed({ ...probe('failed'), ok: false });
  t.is(found.backend, 'node');
  t.is(beside(t, found, 'wake-ups'), 'do not arrive');
  t.regex(beside(t, found, 'reason'), /wake-ups do not arrive/);
  t.regex(beside(t, found, 'advice'), /another sandbox/);
});

test('a reason with a long path is cut to the width', (t) => {
  const path = `/opt/${'deep/'.repeat(40)}ringcore.node`;
  const found = changed({ ok: false, reason: `${path}: file too short`, advice: null });
  const said = beside(t, found, 'reason').replaceAll(' ', '');
  t.is(said, `${path}: file too short.`.replaceAll(' ', ''));
});

test('limits are told in units, and as unlimited or unknown where they are', (t) => {
  const limits = { memlock: 65536, nofile: 1024, ioUringDisabled: 2 };
  const memlock = (bytes: number) =>
    beside(t, changed({ limits: { ...limits, memlock: bytes } }), 'memlock');
  t.deepEqual([0, 1000, 65536, 8 << 20, 2 ** 64].map(memlock), [
    '0 bytes',
    '1000 bytes',
    '64 KiB',
    '8 MiB',
    'unlimited',
  ]);
  t.is(beside(t, changed({ limits }), 'nofile'), '1024 descriptors');
  t.is(beside(t, changed({ limits }), 'sysctl'), 'io_uring_disabled = 2');
  const none = { memlock: 0, nofile: 0, ioUringDisabled: null };
  const missing = changed({
    ok: false,
    available: false,
    limits: none,
    reason: 'no',
    seccomp: null,
  });
  for (const name of ['memlock', 'nofile', 'seccomp']) t.is(beside(t, missing, name), 'unknown');
  t.is(beside(t, missing, 'sysctl'), 'no io_uring_disabled');
});
