// The programs of examples/ for their tests: where they are, and what they print.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The four programs of an example: name, command, first arguments. */
export function programs(t: ExecutionContext, name: string): [string, string, string[]][] {
  const cargo = (example: string) => {
    const built = ['debug', 'release'].map((profile) =>
      join(root, 'target', profile, 'examples', example),
    );
    const path = built.find((each) => existsSync(each));
    if (path === undefined) t.fail(`cargo test builds ${example}`);
    return path ?? '';
  };
  return [
    [`${name}.ts`, process.execPath, [join(root, 'dist/examples', `${name}.js`)]],
    [`${name}.rs`, cargo(name), []],
    [`${name}.node.mjs`, process.execPath, [join(root, 'examples', `${name}.node.mjs`)]],
    [`${name}.std.rs`, cargo(`${name}_std`), []],
  ];
}

export interface Ran {
  stdout: Buffer;
  stderr: string;
  status: number | null;
}

/** Runs a program to its end; 60 s at most. An input of null stays open and silent. */
export function run(command: string, args: string[], input: string | null = ''): Promise<Ran> {
  const child = spawn(command, args, { timeout: 60_000, killSignal: 'SIGKILL' });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (part) => stdout.push(part));
  child.stderr.on('data', (part) => stderr.push(part));
  child.stdin.on('error', () => {}); // A child that does not read its input closes it.
  if (input !== null) child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => child.stdin.destroy());
    child.on('close', (status) => {
      resolve({ stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), status });
    });
  });
}
