// Random calls at the cursor of one descriptor, all made at once: they end as if each had been made
// after the one before, which node:fs's synchronous functions do beside it.
// PAIR: only-typescript fs-callbacks-order.spec.ts -- Rust has no callbacks in the shape of node:fs

import nodeFs from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fs from '../src/node/fs.ts';
import { folder, many } from './support.ts';

/** Numbers below a limit, the same for the same seed. */
function random(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

type Done = (error: Error | null, ...results: unknown[]) => void;

/** One call: with a callback, and synchronously; what it brings, as text. */
interface Step {
  name: string;
  /** Those after it do not wait for it. */
  passed?: boolean;
  start(fd: number, done: (brought: string) => void): void;
  now(fd: number): string;
}

const bytesOf = (next: (limit: number) => number, length: number) =>
  Buffer.from(Array.from({ length }, () => 97 + next(26)));

const hex = (views: readonly Buffer[], count: number) =>
  `${count} ${Buffer.concat(views).toString('latin1')}`;

/** What a callback got, or the code of its error. */
const brings =
  (done: (brought: string) => void, show: (...results: never[]) => string): Done =>
  (error, ...results) =>
    done(error === null ? show(...(results as never[])) : `${error}`);

const STEPS: readonly ((next: (limit: number) => number) => Step)[] = [
  (next) => {
    const length = 1 + next(next(8) === 0 ? 300_000 : 50);
    const [one, other] = [Buffer.alloc(length), Buffer.alloc(length)];
    return {
      name: `read ${length}`,
      start: (fd, done) =>
        fs.read(
          fd,
          one,
          brings(done, (count: number) => hex([one], count)),
        ),
      now: (fd) => hex([other], nodeFs.readSync(fd, other)),
    };
  },
  (next) => {
    const lengths = Array.from({ length: 1 + next(4) }, () => next(20));
    const [one, other] = [0, 1].map(() => lengths.map((length) => Buffer.alloc(length)));
    return {
      name: `readv ${lengths}`,
      start: (fd, done) => {
        fs.readv(
          fd,
          one as Buffer[],
          brings(done, (count: number) => hex(one as Buffer[], count)),
        );
      },
      now: (fd) => hex(other as Buffer[], nodeFs.readvSync(fd, other as Buffer[])),
    };
  },
  (next) => {
    const bytes = bytesOf(next, next(next(8) === 0 ? 200_000 : 50));
    return {
      name: `write ${bytes.length}`,
      start: (fd, done) => fs.write(fd, bytes, brings(done, String)),
      now: (fd) => String(nodeFs.writeSync(fd, bytes)),
    };
  },
  (next) => {
    const views = Array.from({ length: 1 + next(4) }, () => bytesOf(next, next(20)));
    return {
      name: `writev ${views.map(({ length }) => length)}`,
      start: (fd, done) => fs.writev(fd, views, brings(done, String)),
      now: (fd) => String(nodeFs.writevSync(fd, views)),
    };
  },
  (next) => {
    const text = `${bytesOf(next, next(30))}`;
    return {
      name: `write a text of ${text.length}`,
      start: (fd, done) => fs.write(fd, text, brings(done, String)),
      now: (fd) => String(nodeFs.writeSync(fd, text)),
    };
  },
  (next) => {
    const length = next(400);
    return {
      name: `ftruncate ${length}`,
      start: (fd, done) =>
        fs.ftruncate(
          fd,
          length,
          brings(done, () => 'cut'),
        ),
      now: (fd) => {
        nodeFs.ftruncateSync(fd, length);
        return 'cut';
      },
    };
  },
  () => ({
    name: 'fdatasync',
    passed: true,
    start: (fd, done) =>
      fs.fdatasync(
        fd,
        brings(done, () => 'durable'),
      ),
    now: () => 'durable',
  }),
  () => ({
    name: 'readFile',
    start: (fd, done) => fs.readFile(fd, 'latin1', brings(done, String)),
    now: (fd) => nodeFs.readFileSync(fd, 'latin1'),
  }),
  (next) => {
    const bytes = bytesOf(next, next(100));
    return {
      name: `writeFile ${bytes.length}`,
      start: (fd, done) =>
        fs.writeFile(
          fd,
          bytes,
          brings(done, () => 'written'),
        ),
      now: (fd) => {
        nodeFs.writeFileSync(fd, bytes);
        return 'written';
      },
    };
  },
];

test('calls at the cursor that are made at once end as if made one by one', async (t) => {
  const path = folder(t);
  for (let round = 0; round < many(40); round++) {
    const seed = round * 7919 + 1;
    const next = random(seed);
    const start = bytesOf(next, next(500));
    const flags = next(4) === 0 ? 'a+' : 'r+';
    const [ours, node] = ['ours', 'node'].map((name) => {
      nodeFs.writeFileSync(join(path, name), start);
      return nodeFs.openSync(join(path, name), flags);
    }) as [number, number];
    const steps = Array.from({ length: 1 + next(40) }, () =>
      (STEPS[next(STEPS.length)] as (typeof STEPS)[0])(next),
    );
    const order: number[] = [];
    const brought = steps.map(
      (step, i) =>
        new Promise<string>((resolve) => {
          step.start(ours, (result) => {
            if (step.passed !== true) order.push(i);
            resolve(result);
          });
        }),
    );
    const closed = new Promise((resolve) => fs.close(ours, resolve));
    const expected = steps.map((step) => step.now(node));
    nodeFs.closeSync(node);
    const said = `seed ${seed} ${flags}: ${steps.map((step) => step.name).join(', ')}`;
    t.deepEqual(await Promise.all(brought), expected, said);
    t.is(await closed, null, said);
    const ordered = [...steps.keys()].filter((i) => steps[i]?.passed !== true);
    t.deepEqual(order, ordered, said);
    const contents = ['ours', 'node'].map((name) => nodeFs.readFileSync(join(path, name)));
    t.true(contents[0]?.equals(contents[1] as Buffer), said);
  }
});
