// The module of ringcore/fs as an object: node:fs with what takes the ring in its place.

import { ringFor } from './backend.ts';
import type { Take } from './callback.ts';
import { streamsOn } from './callback-streams.ts';
import { CALLS } from './calls.ts';
import promises from './fs-promises.ts';

type Fs = typeof import('node:fs');
type Any = (...args: unknown[]) => unknown;
type Made = new (path: unknown, options: unknown) => unknown;

/** Node's own module; what was put into it before us is part of it. */
const node = process.getBuiltinModule('node:fs') as Fs;

/** A function in node's place: the ring's where there is one and the arguments are well-formed. */
function over(own: Any, take: Take, needs: readonly string[]): Any {
  const made = function (this: unknown, ...args: unknown[]): unknown {
    const instead = () => Reflect.apply(own, this, args);
    const runtime = ringFor(needs);
    if (runtime !== null && take(runtime, args, instead)) return undefined;
    return instead();
  };
  // Its name, its length, and what util.promisify reads there.
  for (const key of Reflect.ownKeys(own)) {
    if (key === 'prototype' || key === 'arguments' || key === 'caller') continue;
    Object.defineProperty(made, key, Object.getOwnPropertyDescriptor(own, key) ?? {});
  }
  return made;
}

function make(): Fs {
  const names = Object.getOwnPropertyDescriptors(node);
  const fs = Object.create(Object.getPrototypeOf(node), names) as Fs;
  const plain = fs as unknown as Record<string, unknown>;
  for (const [name, { take, needs }] of Object.entries(CALLS)) {
    plain[name] = over(plain[name] as Any, take, needs);
  }
  const get = <T>(read: () => T, set?: (value: T) => void) =>
    ({ configurable: true, enumerable: true, get: read, set }) as PropertyDescriptor;
  // As in node, where libraries put classes of their own: two names each, and the functions below
  // make what the first one names.
  const streams = streamsOn(node, fs);
  const old = { ...streams };
  Object.defineProperties(fs, {
    promises: get(() => promises),
    ReadStream: get(
      () => streams.ReadStream,
      (made) => {
        streams.ReadStream = made;
      },
    ),
    WriteStream: get(
      () => streams.WriteStream,
      (made) => {
        streams.WriteStream = made;
      },
    ),
    FileReadStream: get(
      () => old.ReadStream,
      (made) => {
        old.ReadStream = made;
      },
    ),
    FileWriteStream: get(
      () => old.WriteStream,
      (made) => {
        old.WriteStream = made;
      },
    ),
  });
  plain.createReadStream = function createReadStream(path: unknown, options: unknown) {
    return new (streams.ReadStream as unknown as Made)(path, options);
  };
  plain.createWriteStream = function createWriteStream(path: unknown, options: unknown) {
    return new (streams.WriteStream as unknown as Made)(path, options);
  };
  return fs;
}

/** The module. */
export const fs: Fs = make();
