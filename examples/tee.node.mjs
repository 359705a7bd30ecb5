// tee without ringcore: read, then write to every output, each through the thread pool.

import { open } from 'node:fs/promises';

const args = process.argv.slice(2);
const append = args[0] === '-a';
const paths = args.slice(append || args[0] === '--' ? 1 : 0);
if (!append && args[0]?.startsWith('-') && args[0] !== '--') {
  console.error('usage: tee [-a] FILE...');
  process.exit(2);
}

let outputs = [{ name: 'standard output', write: toStdout }];

function fail(name, error) {
  if (name === 'standard output' && error.code === 'EPIPE') process.exit(141);
  console.error(`tee: '${name}': ${error.message}`);
  process.exitCode = 1;
}

function toStdout(chunk) {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

process.stdout.on('error', () => {}); // Each write reports its own.
for (const path of paths) {
  try {
    const file = await open(path, append ? 'a' : 'w');
    outputs.push({ name: path, write: (chunk) => file.appendFile(chunk) });
  } catch (error) {
    fail(path, error);
  }
}
for await (const chunk of process.stdin) {
  const results = await Promise.allSettled(outputs.map(({ write }) => write(chunk)));
  for (const [i, { reason }] of results.entries()) if (reason) fail(outputs[i].name, reason);
  outputs = outputs.filter((_, i) => results[i].status === 'fulfilled');
}
