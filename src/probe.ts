// What this machine can do, and why not.
// Pair: crates/ringcore/src/probe.rs

import type { NativeProbe } from '../index.d.ts';
import { native } from './binding.ts';
import { type RingcoreError, UnavailableError } from './error.ts';
import { OPS } from './table.ts';

const { release } = process.getBuiltinModule('node:os');

// PAIR: explain
/** The reason and the advice for an errno of set-up: which wall it was and what to do about it. */
export function explain(errno: number, ioUringDisabled?: number): [string, string] {
  const [reason, advice] = native().explainRefusal(errno, ioUringDisabled);
  return [reason as string, advice as string];
}

const ASLEEP = 'wake-ups do not arrive in this sandbox';
const WAKE_ADVICE = 'Use another sandbox; in this one every wait may take 10 ms longer';

/** Whether wake-ups arrive: proved once per ring, shortly after it was made. */
export type Wake = 'unproved' | 'ok' | 'failed';

// PAIR: Probe
/** The answer of `probe()`. */
export interface Probe {
  /** What serves the drop-ins here. */
  readonly backend: 'io_uring' | 'node';
  /** Whether a ring can be made. */
  readonly available: boolean;
  /** Why not, or why the drop-ins do not use it, and what to do about it; null when they do. */
  readonly reason: string | null;
  readonly advice: string | null;
  /** State of the default runtime's wake-ups. */
  readonly wake: Wake;
  /** `uname -r`. */
  readonly kernel: string;
  /** Operation name → whether this kernel has it. */
  readonly ops: Readonly<Record<string, boolean>>;
  /** IORING_SETUP_* flags that a ring gets here. */
  readonly flags: readonly string[];
  /** IORING_FEAT_* of this kernel, without the prefix. */
  readonly features: readonly string[];
  /** Soft limits that matter to a ring, and the sysctl kernel.io_uring_disabled (null: none). */
  readonly limits: { memlock: number; nofile: number; ioUringDisabled: number | null };
}

/** Deno refuses it without --allow-sys. */
function kernelRelease(): string {
  try {
    return release();
  } catch {
    return 'unknown';
  }
}

// PAIR: probe
/**
 * Makes a small ring, asks it, and closes it again. Never throws. `forbidden`: why the drop-ins
 * would not use a ring that can be had.
 */
export function probe(wake: Wake = 'unproved', forbidden: string | null = null): Probe {
  let answer: NativeProbe;
  try {
    answer = native().probe();
  } catch (error) {
    const { reason, advice } =
      error instanceof UnavailableError
        ? error
        : { reason: (error as RingcoreError).message, advice: '' };
    answer = {
      available: false,
      reason,
      advice,
      kernel: kernelRelease(),
      memlock: 0,
      nofile: 0,
      flags: [],
      features: [],
      ops: [],
    };
  }
  const has = new Set(answer.ops);
  const serves = answer.available && wake !== 'failed' && forbidden === null;
  return {
    backend: serves ? 'io_uring' : 'node',
    available: answer.available,
    reason: answer.reason ?? (wake === 'failed' ? ASLEEP : forbidden),
    advice: answer.advice ?? (wake === 'failed' ? WAKE_ADVICE : null),
    wake,
    kernel: answer.kernel,
    ops: Object.fromEntries(OPS.map((op) => [op.name, has.has(op.name)])),
    flags: answer.flags,
    features: answer.features,
    limits: {
      memlock: answer.memlock,
      nofile: answer.nofile,
      ioUringDisabled: answer.ioUringDisabled ?? null,
    },
  };
}
