// A handle of node's own class on a descriptor of ours, for what node's handles can do and the
// ring cannot: it runs node's code on the same open file.

import { nodePromises } from './builtin.ts';

type NodeHandle = import('node:fs/promises').FileHandle;
/** What node's class wants to wrap: its own binding's handle, of which it uses this much. */
type Wrapped = { fd: number; getAsyncId(): number; close(): Promise<void> };
type Make = new (wrapped: Wrapped) => NodeHandle;

let make: Make | null = null;

/**
 * A handle of node's on a descriptor that is held open meanwhile and stays the caller's; null: in
 * this runtime they are made in another way. It needs no close.
 */
export async function standIn(fd: number): Promise<NodeHandle | null> {
  if (make === null) {
    const probe = await nodePromises.open('/dev/null');
    make = probe.constructor as Make;
    await probe.close();
  }
  try {
    const handle = new make({ fd, getAsyncId: () => 0, close: async () => {} });
    return handle.fd === fd ? handle : null;
  } catch {
    return null;
  }
}
