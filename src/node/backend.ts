// What serves the drop-ins: the ring, or node:fs. Asked once per thread, at the first call (I9).

import { RingcoreError, UnavailableError } from '../error.ts';
import { current, existing, type Runtime } from '../runtime.ts';

const { isBuiltin } = process.getBuiltinModule('node:module');

/** The runtime that the last answer was about. */
let known: Runtime | null = null;
/** Why there is no ring; null: there is one, or nobody has asked. */
let refused: string | null = null;

/** The runtime whose ring serves the drop-ins, or null: node:fs does. */
export function backend(): Runtime | null {
  const runtime = existing();
  if (runtime !== null && runtime === known && runtime.wake !== 'failed') return runtime;
  return refused === null ? ask() : null;
}

/** What speaks against a ring that could be had, for `probe()`. */
export function forbidden(): string | null {
  if (variable('RINGCORE_BACKEND') === 'node') return 'RINGCORE_BACKEND=node asks for node:fs';
  // The ring knows nothing of --allow-fs-read and would pass it by.
  if ((process as { permission?: unknown }).permission !== undefined) {
    return 'the permission model of Node is on, which a ring would pass by';
  }
  // What is mounted there, the kernel has never heard of.
  if (isBuiltin('node:vfs')) return 'the virtual file system of Node is on (--experimental-vfs)';
  return null;
}

function ask(): Runtime | null {
  refused = forbidden();
  if (refused !== null) return null;
  try {
    const runtime = current();
    void runtime.executor;
    if (runtime.wake === 'failed') return null; // Waits would take 10 ms each.
    known = runtime;
    return runtime;
  } catch (error) {
    if (!(error instanceof UnavailableError)) {
      if ((error as RingcoreError).code === 'ERR_RINGCORE_CLOSED') return null;
      throw error;
    }
    refused = error.reason;
    return null;
  }
}

/**
 * The runtime, if its allow list lets all of these operations through: decided before the first
 * one, since a file that was made halfway cannot be made again.
 */
export function ringFor(names: readonly string[]): Runtime | null {
  const runtime = backend();
  if (runtime === null || runtime.allowed === null) return runtime;
  const { allowed } = runtime;
  return names.every((name) => allowed.includes(name)) ? runtime : null;
}

/** Whether this kernel lacks the operation: nothing has happened, node:fs can do it. */
export function lacks(error: unknown): boolean {
  return (error as { code?: string } | null)?.code === 'ERR_RINGCORE_UNSUPPORTED_OP';
}

/** The function whose callers are the first frames. */
type Frames = (...args: never[]) => unknown;

/**
 * The error of a completion, which has no frames: with those of whoever waits. One that has its own
 * keeps them: it is the caller's, thrown by what it gave to be written, or node's about arguments.
 */
export function withFrames(error: unknown, below: Frames = withFrames): unknown {
  if (!(error instanceof Error) || !Object.isExtensible(error)) return error;
  if (error instanceof RingcoreError || !/\n {4}at /.test(String(error.stack))) {
    Error.captureStackTrace(error, below);
  }
  return error;
}

function variable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined; // Deno asks for a flag.
  }
}
