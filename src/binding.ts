// The border's TypeScript half: the only importer of the native module.
// Pair: src/binding/mod.rs
//
// I9: importing ringcore opens nothing, on any system. The module is loaded at the first use of a
// ring, inside try, synchronously, and what went wrong is kept as the reason.

import { createRequire } from 'node:module';
import { RingcoreError, UnavailableError } from './error.ts';

type Native = typeof import('../index.d.ts');

let loaded: Native | null = null;
let refused: UnavailableError | null = null;

/** The native module, or ERR_RINGCORE_UNAVAILABLE with what stood in its way. */
export function native(): Native {
  if (loaded !== null) return loaded;
  refused ??= load();
  if (refused !== null) throw refused;
  return loaded as unknown as Native;
}

function load(): UnavailableError | null {
  if (process.platform !== 'linux') {
    return new UnavailableError(`io_uring is Linux's, this is ${process.platform}`, '');
  }
  try {
    loaded = createRequire(import.meta.url)('../index.cjs') as Native;
    return null;
  } catch (error) {
    const machine = `${process.platform}-${process.arch}`;
    if (isDisabled(error)) {
      const advice = 'Add --allow-addons to the permission model';
      return new UnavailableError('native addons are disabled', advice, { cause: error });
    }
    const reason = `the native module for ${machine} could not be loaded`;
    const advice = 'Reinstall without --omit=optional, or build it with `npm run build`';
    return new UnavailableError(reason, advice, { cause: error });
  }
}

/**
 * ERR_DLOPEN_DISABLED, by its text: the generated loader tries several files and chains what each
 * one said in errors of its own, which have no codes.
 */
function isDisabled(error: unknown): boolean {
  const { message, cause } = error as Error;
  return /addons is disabled/.test(message) || (cause instanceof Error && isDisabled(cause));
}

/** A bug of ringcore's own, with what to report. */
export function internalError(errno: number): RingcoreError {
  const text = `The ring ended with errno ${errno}; please report this`;
  return new RingcoreError('ERR_RINGCORE_INTERNAL', text);
}
