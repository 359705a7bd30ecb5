// The border's TypeScript half: the only importer of the native module.
// Pair: src/binding/mod.rs
//
// I9: importing ringcore opens nothing, on any system. The module is loaded at the first use of a
// ring, inside try, synchronously, and what went wrong is kept as the reason.

import { RingcoreError, UnavailableError } from './error.ts';

const { createRequire } = process.getBuiltinModule('node:module');

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
    const reason = `io_uring is Linux's, this is ${process.platform}`;
    return new UnavailableError(reason, 'Run it on Linux, a virtual machine will do');
  }
  try {
    const require = createRequire(import.meta.url);
    if (require('../package.json').name !== 'ringcore') throw new Error('not in its own package');
    loaded = require('../index.cjs') as Native;
    return null;
  } catch (error) {
    const [reason, advice] = missing(messages(error));
    return new UnavailableError(reason, advice, { cause: error });
  }
}

// Bundled into another file, `..` is no longer this package: what is there belongs to somebody else
// and must not be run. In a bundle of CommonJS there is not even an import.meta.url.
const BUNDLED = /package\.json'|^not in its own package|Received undefined/;

/**
 * What stood in the way. The generated loader tries several files and chains what each one said in
 * errors of its own, which have no codes: only their texts tell.
 */
function missing(said: string[]): [string, string] {
  if (BUNDLED.test(said[0] ?? '')) {
    return ['ringcore was bundled away from its native module', 'Mark ringcore as external'];
  }
  if (said.some((text) => /addons is disabled/.test(text))) {
    const permission = (process as { permission?: unknown }).permission !== undefined;
    const advice = 'Add --allow-addons to the permission model';
    return ['native addons are disabled', permission ? advice : 'Run without --no-addons'];
  }
  const denied = said.map((text) => /Requires (\w+) access/.exec(text)?.[1]).find((what) => what);
  if (denied !== undefined) {
    return ['Deno did not permit the native module', `Run it with --allow-${denied}`];
  }
  const machine = `linux-${process.arch}`;
  const build = 'build it with `npm run build` in a clone of the repository';
  // Whatever was found and did not load (another libc, a damaged file) says more than the rest.
  const failure = said.find((text) => !/^Cannot find |^Unsupported /.test(text));
  if (failure !== undefined) {
    const reason = `the native module for ${machine} could not be loaded (${failure})`;
    return [reason, `Reinstall ringcore, or ${build}`];
  }
  const wanted = said.map(
    (text) => /^Cannot find module '(ringcore-linux-[\w-]+)'/.exec(text)?.[1],
  );
  const name = wanted.find((found) => found !== undefined);
  if (name === undefined || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    return [`there is no prebuilt native module for ${machine}`, `To have one, ${build}`];
  }
  const reason = `the native module is missing: the package ${name} is not installed`;
  return [reason, `Reinstall without --omit=optional, or ${build}`];
}

/** The first line of an error's message, and of each of its causes. */
function messages(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const first = (error.message.split('\n')[0] as string).trim();
  return [first, ...messages(error.cause)];
}

/** A bug of ringcore's own, with what to report. */
export function internalError(errno: number): RingcoreError {
  const text = `The ring ended with errno ${errno}; please report this`;
  return new RingcoreError('ERR_RINGCORE_INTERNAL', text);
}
