// npm start: sets up, then runs an example with the arguments given.
//
//   npm start                         prints README.md through the ring
//   npm start -- FILE...              prints these files
//   npm start -- --example NAME ARGS  runs another program of examples/

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './children.mjs';
import { setupOrExplain } from './setup.mjs';

function chosen(args) {
  if (args[0] !== '--example') {
    return { name: 'cat', args: args.length > 0 ? args : [join(root, 'README.md')] };
  }
  return { name: args[1], args: args.slice(2) };
}

function known() {
  try {
    const files = readdirSync(join(root, 'examples'));
    return files.filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3));
  } catch {
    return [];
  }
}

function start(name, args) {
  // npm changes to the folder of the package; paths that the user typed are meant from theirs.
  const cwd = process.env.npm_lifecycle_event === 'start' ? process.env.INIT_CWD : undefined;
  const script = join(root, 'dist/examples', `${name}.js`);
  const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit', cwd });
  // A terminal has sent Ctrl-C to the example already, and a second one means "at once" to many
  // programs. Signals from elsewhere reach this process only and are passed on.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`ringcore: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('close', (code, signal) => {
    process.exitCode = code ?? 1;
    if (!signal) return;
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const { name, args } = chosen(process.argv.slice(2));
if (!known().includes(name)) {
  const examples = known().sort().join(', ');
  console.error(`ringcore: there is no example ${name ?? '(no name given)'}. Known: ${examples}`);
  process.exitCode = 2;
} else {
  process.exitCode = await setupOrExplain();
  if (process.exitCode === 0) start(name, args);
}
