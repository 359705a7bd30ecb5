// ringcore run: a program as node would run it, and its default export as the main task.
// PAIR: only-typescript main.ts -- a Rust program has a main function and calls run() in it

import Module, { createRequire } from 'node:module';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { types } from 'node:util';
import type { TaskSource } from './task.ts';

/** Makes FILE the main module of this process. Its errors and exit code are node's own. */
export function main(file: string, args: string[]): void {
  const path = resolve(file);
  if (!canRun(path)) {
    const name = `node ${process.versions.node}`;
    process.stderr.write(
      `ringcore: ${name} cannot run TypeScript (${file}): Node.js 22.18 or newer strips the ` +
        'types by itself; or compile it to JavaScript, or name a loader in NODE_OPTIONS\n',
    );
    process.exitCode = 1;
    return;
  }
  process.argv = [process.argv[0] as string, path, ...args];
  process.nextTick(begin, path);
}

// Node's own way in, and not import(): require.main, import.meta.main, uncaught errors and the
// exit code of an await that never settles are then those of `node FILE`. A tick, because an error
// thrown here would be a rejection of this module's and look different.
function begin(path: string): void {
  // Bun has a function of this name that keeps the program's errors to itself, and Deno one that
  // cannot run a module which awaits.
  const { runMain } = Module as unknown as { runMain?: (path: string) => void };
  const { bun, deno } = process.versions;
  const reports = runMain !== undefined && bun === undefined && deno === undefined;
  if (reports) runMain(path);
  // The same instance of the module, after node has begun with it as the main one; what it throws
  // node has reported by then.
  setImmediate(async () => {
    const task = await exported(path).catch((error) => {
      if (!reports) throw error;
    });
    await start(path, task);
  });
}

/** The default export of the main file as node finds it: without its extension, through links. */
async function exported(path: string): Promise<unknown> {
  const module = await import(pathToFileURL(createRequire(path).resolve(path)).href);
  return module.default;
}

/** A rejection of the task is handled by nobody: node prints it and ends with exit code 1. */
async function start(path: string, task: unknown): Promise<void> {
  if (!types.isGeneratorFunction(task) && !types.isAsyncFunction(task)) return;
  const { run } = await ringcoreOf(path);
  await run(task as TaskSource<unknown>);
}

/** A future belongs to the copy of ringcore that made it: the one that the program imports. */
async function ringcoreOf(path: string): Promise<typeof import('./index.ts')> {
  let file: string;
  try {
    file = createRequire(path).resolve('ringcore');
  } catch {
    return import('./index.ts'); // The program has none, so it has no futures either.
  }
  return import(pathToFileURL(file).href);
}

/** Whether this node knows what to do with the file: JavaScript always. */
function canRun(path: string): boolean {
  if (!/^\.[cm]?ts$/.test(extname(path))) return true;
  if (process.features.typescript || process.versions.bun || process.versions.deno) return true;
  // A loader was asked for; what it cannot do it says itself.
  const loader = /(^|\s)(--import|--require|-r|--loader|--experimental-loader)\b/;
  return loader.test([...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' '));
}
