// A handle of node's own class on a descriptor of ours, for what node's handles can do and the
// ring cannot: it runs node's code on the same open file.

import { nodePromises } from './builtin.ts';

const { isBuiltin } = process.getBuiltinModule('node:module');

type NodeHandle = import('node:fs/promises').FileHandle;
/** What node's class wants to wrap: its own binding's handle, of which it uses this much. */
interface Wrapped {
  fd: number;
  getAsyncId(): number;
  close(): Promise<void>;
  closeSync(): void;
}
type Make = new (wrapped: Wrapped) => NodeHandle;

let make: Make | null = null;

async function learn(): Promise<Make> {
  if (make === null) {
    const probe = await nodePromises.open('/dev/null');
    make = probe.constructor as Make;
    await probe.close();
  }
  return make;
}

/** null: in this runtime they are made in another way. */
function wrap(from: Make, fd: number, close: () => Promise<void>): NodeHandle | null {
  const closeSync = () => void close();
  try {
    const handle = new from({ fd, getAsyncId: () => 0, close, closeSync });
    return handle.fd === fd ? handle : null;
  } catch {
    return null;
  }
}

/** One that needs no close; the descriptor is held open meanwhile, and stays the caller's. */
export async function standIn(fd: number): Promise<NodeHandle | null> {
  return wrap(await learn(), fd, async () => {});
}

/** `pull`, `pullSync` and `writer` of handles are an experiment of node's, behind a flag. */
const NAMES = ['pull', 'pullSync', 'writer'] as const;

type Iterated = Record<string, (...args: unknown[]) => unknown>;

type Wrap = (fd: number, close: () => Promise<void>) => Iterated;
/** The handle that stands in for one of ours; throws where that may not iterate. */
type Standing = (on: object, wrap: Wrap) => Iterated;

/** Whether nothing is left to learn: in most processes nothing is. */
export let knowsIteration: boolean = !isBuiltin('node:stream/iter');

/** Gives the class the methods of node's that iterate, once, where there are such. */
export async function learnToIterate(target: object, standing: Standing): Promise<void> {
  const from = await learn();
  if (knowsIteration) return;
  knowsIteration = true;
  const own = from.prototype as unknown as Iterated;
  for (const name of NAMES) {
    if (typeof own[name] !== 'function') continue;
    const method = {
      [name](this: object, ...args: unknown[]) {
        const stand: Wrap = (fd, close) => wrap(from, fd, close) as unknown as Iterated;
        return standing(this, stand)[name]?.(...args);
      },
    };
    Object.defineProperty(target, name, {
      ...Object.getOwnPropertyDescriptor(own, name),
      value: method[name],
    });
  }
}
