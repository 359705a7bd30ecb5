// Workers that are terminated with a shot armed, connections that nobody took, and lent buffers;
// what stayed behind. Argument: how many.

import { setTimeout as wait } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Runtime } from '../../dist/index.js';
import { FieldsOp, sqe as S, same } from '../../dist/internals.js';
import { answer, descriptors, threadCounts, until } from './common.mjs';

async function work() {
  const { listener, receivers, lend } = workerData;
  const rt = new Runtime();
  const group = rt.buffer.provide({ count: 4, size: 4096 });
  const kept = [];
  for (const fd of receivers) {
    const stream = rt.op.recvMultishot(fd, group, { lend: true });
    const lent = await stream.next();
    kept.push(lend ? lent.bytes : lent);
    stream.next().then(() => {});
  }
  const connections = rt.op.acceptMultishot(listener);
  await rt.op.close(await connections.next());
  parentPort.postMessage('armed');
  setInterval(() => kept.length, 1000);
}

async function watch() {
  const rt = new Runtime();
  const raw = (opcode, fields) => new FieldsOp(rt, opcode, 'test', fields, same, undefined);
  const socket = () => raw(S.IORING_OP_SOCKET, { fd: 1, offset: 1 });
  let number = 0;
  const listen = async () => {
    const name = Buffer.from(`\x01\0\0ringcore-${process.pid}-${number++}`, 'latin1');
    const fd = await socket();
    await raw(S.IORING_OP_BIND, { fd, input: name });
    await raw(S.IORING_OP_LISTEN, { fd, length: 128 });
    return { fd, name };
  };
  const connect = async (name) => {
    const fd = await socket();
    await raw(S.IORING_OP_CONNECT, { fd, input: name });
    return fd;
  };
  const one = async (round) => {
    const { fd: listener, name } = await listen();
    const ends = [];
    const receivers = [];
    for (let i = 0; i < 3; i++) {
      const far = await connect(name);
      await rt.op.write(far, Buffer.from(`bytes ${i}`));
      ends.push(far);
      receivers.push(await raw(S.IORING_OP_ACCEPT, { fd: listener }));
    }
    const data = { listener, receivers, lend: round % 2 === 0 };
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    const armed = new Promise((resolve, reject) => {
      worker.on('message', resolve);
      worker.on('error', reject);
    });
    const ended = new Promise((resolve) => worker.on('exit', resolve));
    await Promise.race([
      armed,
      wait(0)
        .then(() => connect(name))
        .then((fd) => ends.push(fd)),
    ]);
    await armed;
    const clients = [];
    for (let i = 0; i < 20; i++) clients.push(await connect(name));
    // Some wait in the worker's stream, some are on their way.
    await wait(round % 4);
    await worker.terminate();
    await ended;
    for (const fd of [listener, ...receivers, ...ends, ...clients]) await rt.op.close(fd);
  };
  const settled = () => until(() => threadCounts().parkers <= 1 && threadCounts().workers === 0);
  await one(0);
  await settled();
  await wait(50);
  const before = descriptors().size;
  const rounds = Number(process.argv[2]);
  for (let round = 0; round < rounds; round++) await one(round);
  await settled();
  await wait(50);
  const after = descriptors().size;
  await rt.close();
  answer({ rounds, before, after });
}

if (isMainThread) await watch();
else await work();
