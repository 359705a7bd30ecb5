import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { op, probe, Runtime } from '../src/index.ts';
import { Mock, NO_FAULTS } from '../src/mock.ts';
import { explain } from '../src/probe.ts';
import { OPS } from '../src/table.ts';

test('each errno of set up names its wall and its way out', (t) => {
  const cases: [number, number | undefined, string, string][] = [
    [1, undefined, 'seccomp', 'seccomp'],
    [1, 0, 'seccomp', 'seccomp'],
    [1, 1, 'io_uring_disabled is 1', 'group'],
    [1, 2, 'io_uring_disabled is 2', 'sysctl'],
    [13, 0, 'security module', 'seccomp'],
    [38, 0, 'ENOSYS', 'CONFIG_IO_URING'],
    [22, 0, 'EINVAL', 'Linux 5.6'],
    [95, 0, 'EOPNOTSUPP', 'sandbox'],
    [12, 0, 'RLIMIT_MEMLOCK', 'ulimit -l'],
    [24, 0, 'RLIMIT_NOFILE', 'ulimit -n'],
    [23, 0, 'ENFILE', 'fs.file-max'],
  ];
  for (const [errno, sysctl, reason, advice] of cases) {
    const [said, advised] = explain(errno, sysctl);
    t.true(said.includes(reason), `${errno} ${sysctl}: ${said}`);
    t.true(advised.includes(advice), `${errno} ${sysctl}: ${advised}`);
  }
});

test('this machine has a ring and every operation', (t) => {
  const { available, reason, advice, ops, flags, features, kernel, backend, limits } = probe();
  t.true(available, reason ?? '');
  t.deepEqual([reason, advice, backend], [null, null, 'io_uring']);
  t.deepEqual(ops, Object.fromEntries(OPS.map(({ name }) => [name, true])));
  for (const name of ['NODROP', 'FAST_POLL', 'EXT_ARG']) t.true(features.includes(name), name);
  t.true(flags.length > 0 && kernel.length > 0 && limits.nofile > 0);
});

// PAIR: only-typescript -- a Rust thread blocks in its own enter, nobody has to wake it
test('wake is ok soon after the first use', async (t) => {
  const runtime = new Runtime();
  t.is(runtime.wake, 'unproved');
  await runtime.op.nop();
  for (let i = 0; i < 1000 && runtime.wake === 'unproved'; i++) await wait(5);
  t.is(runtime.wake, 'ok');
  await runtime.close();
});

// PAIR: only-typescript -- a Rust thread blocks in its own enter, nobody has to wake it
test('where wake ups never come it says so and operations settle all the same', async (t) => {
  let mock!: Mock;
  const faults = { ...NO_FAULTS, late: 100, lostWake: 100 };
  const runtime = new Runtime({}, (_options, wake) => {
    mock = new Mock(1, faults, wake);
    return mock;
  });
  for (let i = 0; i < 1000 && runtime.wake === 'unproved'; i++) {
    t.is(await runtime.op.pollAdd(0, 1), 1);
    await wait(30); // A ring that is never idle finds everything by itself, and proves nothing.
  }
  t.is(runtime.wake, 'failed');
  t.true(mock.world.signals > 0, 'no wake-up was ever due');
  // Nothing was issued twice: each operation was taken once.
  t.is(await runtime.op.pollAdd(0, 1), 1);
  t.is(runtime.stats().inFlight, 0);
  await runtime.close();
  t.is(mock.inFlight, 0);
});

// PAIR: only-typescript -- Rust's constructors are functions, which have no names at run time
test('every operation of the table has a constructor, and every constructor is in it', (t) => {
  const names: string[] = [];
  for (let level = Object.getPrototypeOf(op); level !== Object.prototype; ) {
    names.push(...Object.getOwnPropertyNames(level).filter((name) => name !== 'constructor'));
    level = Object.getPrototypeOf(level);
  }
  // Chains are flags of other operations, a slot is no operation, recvBuffer is a recv; named is a
  // private method.
  const others = ['link', 'hardlink', 'direct', 'recvBuffer', 'named'];
  t.deepEqual([...OPS.map(({ name }) => name), ...others].sort(), names.sort());
});
