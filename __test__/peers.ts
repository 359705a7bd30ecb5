// Sockets for the tests of streams: abstract unix addresses, made through the ring itself.

import { closeSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import type { Runtime } from '../src/index.ts';
import { type Fields, FieldsOp, same } from '../src/ops/fields.ts';
import {
  IORING_OP_ACCEPT,
  IORING_OP_BIND,
  IORING_OP_CONNECT,
  IORING_OP_LISTEN,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
} from '../src/sqe.ts';

const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;

let names = 0;

/** Sockets of tests that are to be closed after them. */
const open = new Set<number>();

/** Closes a descriptor, for tests that may have one of `pair`. */
export function close(fd: number): void {
  open.delete(fd);
  closeSync(fd);
}

function raw(rt: Runtime, opcode: number, fields: Fields): Promise<number> {
  return new FieldsOp(rt, opcode, 'test', fields, same, undefined).then((res) => res);
}

/** A sockaddr_un with a name that no file has. */
function address(name: string): Uint8Array {
  return Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), Buffer.from(`\0${name}`)]);
}

export const socket = (rt: Runtime, type: number): Promise<number> =>
  raw(rt, IORING_OP_SOCKET, { fd: AF_UNIX, offset: type });

/** A listening socket and its name. */
export async function listen(
  rt: Runtime,
  type: number = SOCK_STREAM,
): Promise<{ fd: number; name: string }> {
  const name = `ringcore-${process.pid}-${names++}`;
  const fd = await socket(rt, type);
  await raw(rt, IORING_OP_BIND, { fd, input: address(name) });
  await raw(rt, IORING_OP_LISTEN, { fd, length: 4096 });
  return { fd, name };
}

/** A socket that is connected to the name. */
export async function connect(
  rt: Runtime,
  name: string,
  type: number = SOCK_STREAM,
): Promise<number> {
  const fd = await socket(rt, type);
  await raw(rt, IORING_OP_CONNECT, { fd, input: address(name) });
  return fd;
}

/** Two connected sockets, closed after the test if they are open then. */
export async function pair(
  rt: Runtime,
  t?: ExecutionContext,
  type: number = SOCK_STREAM,
): Promise<[number, number]> {
  const { fd, name } = await listen(rt, type);
  const [near, far] = await Promise.all([
    connect(rt, name, type),
    raw(rt, IORING_OP_ACCEPT, { fd }),
  ]);
  closeSync(fd);
  if (t !== undefined) {
    open.add(near).add(far);
    t.teardown(() => [near, far].filter((each) => open.has(each)).forEach(close));
  }
  return [near, far];
}

/** Nothing more is sent. */
export const shutdown = (rt: Runtime, fd: number): Promise<number> =>
  raw(rt, IORING_OP_SHUTDOWN, { fd, length: 1 });
