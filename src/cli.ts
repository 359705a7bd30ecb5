#!/usr/bin/env node
// The command `ringcore`: doctor, run, help.
// PAIR: only-typescript cli.ts -- Rust programs are started by cargo; a command is npm's way in

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { diagnose, table } from './doctor.ts';
import { main } from './main.ts';

const USAGE = `Usage: ringcore <command>

Commands:
  doctor [--json]      says what io_uring can do on this machine, or why not
  run FILE [ARGS...]   runs a JavaScript or TypeScript program
  help [COMMAND]       this text, or more about one command

Options:
  -h, --help           this text
  -v, --version        ringcore's version
`;

const HELP: Record<string, string> = {
  doctor: `Usage: ringcore doctor [--json]

Makes a ring, sleeps 1 ms on it and prints what works here: the backend, whether
wake-ups arrive, the kernel, set-up flags, limits and every operation; where
io_uring is refused, by what, and what to do about it. Colours are for terminals
only; NO_COLOR=1 turns them off.

Options:
      --json           one JSON object instead of the table
  -h, --help           this text

Exit code: 0 when the ring works, 1 when it is refused, 2 for wrong usage.
`,
  run: `Usage: ringcore run FILE [ARGS...]

Runs a program as \`node FILE ARGS...\` would. When its default export is a
generator function or an async function, that runs as the main task:
\`export default function* () { yield* sleep(10); }\`.
TypeScript needs Node.js 22.18 or newer, which strips the types by itself, or a
loader in NODE_OPTIONS.

Options:
  -h, --help           this text; what follows FILE belongs to the program
`,
  help: USAGE,
};

/** Wrong usage: told on standard error together with the usage; exit code 2. */
class UsageError extends Error {
  readonly command: string | undefined;
  constructor(message: string, command?: string) {
    super(message);
    this.command = command;
  }
}

async function ringcore(args: string[]): Promise<void> {
  const [command = '', ...rest] = args;
  if (command === 'run') return run(rest);
  // Whoever has read enough (`| head`) is no failure. A program of `run` decides for itself.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  if (command === 'doctor') return doctor(rest);
  if (command === 'help') return help(rest);
  if (command !== '' && !command.startsWith('-')) throw unknown(command);
  const { help: asked, version } = options(args, { help: 'h', version: 'v' });
  if (version) say(`${VERSION()}\n`);
  else if (asked) say(USAGE);
  else throw new UsageError('which command?');
}

async function doctor(args: string[]): Promise<void> {
  const { help: asked, json } = options(args, { help: 'h', json: undefined }, 'doctor');
  if (asked) return say(HELP.doctor as string);
  const found = await diagnose(VERSION());
  say(json ? `${JSON.stringify(found, null, 2)}\n` : table(found, coloured()));
  process.exitCode = found.ok ? 0 : 1;
}

function run(args: string[]): void {
  const at = args.findIndex((arg) => !arg.startsWith('-') || arg === '--');
  const own = at < 0 ? args : args.slice(0, at);
  const { help: asked } = options(own, { help: 'h' }, 'run');
  const [file, ...rest] = at < 0 ? [] : args.slice(args[at] === '--' ? at + 1 : at);
  if (asked) say(HELP.run as string);
  else if (file === undefined) throw new UsageError('run which file?', 'run');
  else main(file, rest);
}

function help(args: string[]): void {
  const [command = 'help', ...more] = args;
  const text = command.startsWith('-') ? USAGE : HELP[command];
  if (text === undefined) throw unknown(command);
  if (more.length > 0) throw new UsageError(`help takes one command, not '${more[0]}' as well`);
  say(text);
}

/** Flags without values; a short letter beside each that has one. */
function options<K extends string>(
  args: string[],
  known: Record<K, string | undefined>,
  command?: string,
): Partial<Record<K, boolean>> {
  const wanted = Object.entries<string | undefined>(known).map(([name, short]) => {
    return [name, { type: 'boolean' as const, ...(short === undefined ? {} : { short }) }];
  });
  try {
    const { values } = parseArgs({ args, options: Object.fromEntries(wanted) });
    return values as Partial<Record<K, boolean>>;
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument ...": the first sentence says it.
    const text = (error as Error).message.split('. ')[0] as string;
    throw new UsageError(text.charAt(0).toLowerCase() + text.slice(1), command);
  }
}

function unknown(command: string): UsageError {
  const near = Object.keys(HELP).find((name) => distance(name, command) <= 2);
  const meant =
    near ?? (/\.[cm]?[jt]s$/.test(command) && existsSync(command) ? `run ${command}` : undefined);
  const hint = meant === undefined ? '' : `; did you mean 'ringcore ${meant}'?`;
  return new UsageError(`there is no command '${command}'${hint}`);
}

/** How many letters must be added, removed or changed to make one word the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function coloured(): boolean {
  const { NO_COLOR, TERM } = process.env;
  return process.stdout.isTTY === true && !NO_COLOR && TERM !== 'dumb';
}

const VERSION = (): string => createRequire(import.meta.url)('../package.json').version;

function say(text: string): void {
  process.stdout.write(text);
}

ringcore(process.argv.slice(2)).catch((error) => {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`ringcore: ${error.message}\n\n${HELP[error.command ?? 'help']}`);
  process.exitCode = 2;
});
