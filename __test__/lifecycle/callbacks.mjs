// Callbacks that do what callbacks should not: the queue stays consistent.

import { Future, PENDING, Runtime, run, sleep } from '../../dist/index.js';
import { answer, threadCounts } from './common.mjs';

const rt = new Runtime();
const { op } = rt;
const found = {};
const nothing = () => {};

const scenarios = {
  /** As with promises: an unhandled rejection, and everybody else gets their results. */
  async throwing() {
    const seen = [];
    process.on('unhandledRejection', (error) => seen.push(error.message));
    const bad = (text) => () => {
      throw new Error(text);
    };
    op.nop().then(bad('two functions'), nothing);
    op.nop().then(bad('one function'));
    const handled = op.nop().then(bad('handled'), nothing);
    const caught = handled.catch((error) => `caught ${error.message}`);
    let others = 0;
    const all = Array.from({ length: 200 }, () => op.nop().then(() => others++, nothing));
    await Promise.all(all);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { seen: seen.sort(), others, caught: await caught };
  },

  /** Thrown from a tick or a microtask behind a wake-up: uncaught, as anywhere in the loop. */
  async throwingLater() {
    const seen = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    const bad = (text) => () => {
      throw new Error(text);
    };
    let others = 0;
    const behind = (text, defer) =>
      op.timeout(2).then(() => {
        defer(bad(text));
        defer(() => others++);
      });
    await behind('tick', process.nextTick);
    await behind('microtask', queueMicrotask);
    await op.timeout(2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { seen, others };
  },

  /** close() on the stack of a wake-up, a hundred rings one after the other. */
  async closingBehind() {
    let closed = 0;
    for (let i = 0; i < 100; i++) {
      const other = new Runtime();
      const late = other.op.timeout(10_000).catch(({ code }) => code);
      await new Promise((resolve) => {
        other.op.timeout(1).then(() => {
          other.close().then(resolve);
        }, nothing);
      });
      closed += (await late) === 'ERR_RINGCORE_CLOSED' ? 1 : 0;
    }
    await op.timeout(1);
    return { closed };
  },

  /** How many threads wait for a ring. */
  async waiting() {
    await op.timeout(2); // Whatever waits has waited once.
    return { threads: threadCounts().parkers };
  },

  async submitting() {
    let settled = 0;
    await new Promise((resolve) => {
      const more = () => {
        for (let i = 0; i < 1000; i++) {
          op.nop({ result: i }).then((value) => {
            settled += value === i ? 1 : 0;
            if (settled === 5000) resolve();
          }, nothing);
        }
      };
      for (let i = 0; i < 5; i++) op.nop().then(more, nothing);
    });
    return { settled, inFlight: rt.stats().inFlight };
  },

  /** close() from a delivery: those delivered with it and those in flight settle once each. */
  async closing() {
    const counts = { value: 0, closed: 0, other: 0 };
    const settle = Array.from({ length: 300 }, (_, i) => {
      const one = i % 3 === 0 ? op.timeout(10_000) : op.nop();
      return one.then(
        () => counts.value++,
        ({ code }) => counts[code === 'ERR_RINGCORE_CLOSED' ? 'closed' : 'other']++,
      );
    });
    let ended = null;
    op.nop().then(() => {
      ended = rt.close();
    }, nothing);
    await Promise.all(settle);
    await ended;
    const after = await op.nop().catch(({ code }) => code);
    return { ...counts, after };
  },

  /** close() called by a synchronous reaction in the middle of a delivery. */
  async closingInside() {
    const counts = { value: 0, closed: 0, other: 0 };
    const one = (i) => {
      const made = i % 3 === 0 ? op.timeout(10_000) : op.nop();
      return new Promise((resolve) => {
        made.then(
          () => {
            counts.value++;
            if (i === 4) rt.close();
            resolve();
          },
          ({ code }) => {
            counts[code === 'ERR_RINGCORE_CLOSED' ? 'closed' : 'other']++;
            resolve();
          },
        );
      });
    };
    await Promise.all(Array.from({ length: 300 }, (_, i) => one(i)));
    await rt.close();
    return counts;
  },

  async wakerAfterClose() {
    let waker = null;
    class Waits extends Future {
      poll(cx) {
        waker = cx.waker;
        return PENDING;
      }
    }
    const outcome = rt.run(new Waits()).catch(({ code }) => code);
    await op.nop();
    await rt.close();
    waker.wake();
    waker.wakeByRef();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return {
      outcome: await outcome,
      other: await run(function* () {
        yield* sleep(1);
        return 'works';
      }),
    };
  },

  /** Tasks that run tasks, from inside of a poll and of a delivery. */
  async reentrant() {
    const inner = (depth) =>
      rt.run(function* () {
        yield* op.nop();
        return depth;
      });
    const values = [];
    await rt.run(async () => {
      for (let depth = 0; depth < 50; depth++) {
        values.push(await op.nop().then(() => inner(depth)));
      }
    });
    return { sum: values.reduce((sum, value) => sum + value, 0), inFlight: rt.stats().inFlight };
  },
};

const name = process.argv[2];
found[name] = await scenarios[name]();
answer(found[name]);
