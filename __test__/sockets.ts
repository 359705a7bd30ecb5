// What the tests of sockets share: sockets that are closed, and where they are.

import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import type { AddressLike } from '../src/address.ts';
import { constants, type Runtime } from '../src/index.ts';

const { AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM } = constants;

/** A descriptor that is never open. */
export const NO_FD = 0x7ffffff;

export const LOOPBACK = { address: '127.0.0.1', port: 0 };

/** The port that a socket of the internet is bound to. */
export function portOf(fd: number): number {
  const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[0];
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const line of readFileSync(`/proc/net/${table}`, 'utf8').split('\n')) {
      const words = line.trim().split(/\s+/);
      if (words[9] === inode) return Number.parseInt(words[1]?.split(':')[1] as string, 16);
    }
  }
  throw new Error(`descriptor ${fd} has no port`);
}

/** A socket that is closed after the test. */
export async function socket(
  t: ExecutionContext,
  rt: Runtime,
  domain: number,
  type: number = SOCK_STREAM,
) {
  const fd = await rt.op.socket(domain, type);
  t.teardown(() => closeSync(fd));
  return fd;
}

let names = 0;
/** An abstract name that nobody else has. */
export const name = () => ({ path: `\0ringcore-sockets-${process.pid}-${names++}` });

/** A socket that listens, and where. */
export async function listener(
  t: ExecutionContext,
  rt: Runtime,
  at: AddressLike = name(),
): Promise<[number, AddressLike]> {
  const inet = 'address' in at && (at.address.includes(':') ? AF_INET6 : AF_INET);
  const fd = await socket(t, rt, inet || AF_UNIX);
  await rt.op.bind(fd, at);
  await rt.op.listen(fd);
  return [fd, inet ? { ...at, port: portOf(fd) } : at];
}

/** Both ends of a connection. */
export async function connection(t: ExecutionContext, rt: Runtime, at?: AddressLike) {
  const [listening, where] = await listener(t, rt, at);
  const client = await socket(t, rt, 'address' in where ? AF_INET : AF_UNIX);
  const [, server] = await Promise.all([
    rt.op.connect(client, where),
    rt.op.accept(listening).then((fd) => fd),
  ]);
  t.teardown(() => closeSync(server));
  return [client, server] as const;
}
