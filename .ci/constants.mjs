// src/sqe.ts, src/cqe.ts, src/table.ts, src/constants.ts and the table in docs/kernel.md are
// generated from Rust, where the numbers live, and committed.
//
//   npm run constants                writes them
//   node .ci/constants.mjs --check   fails when a committed file is not what Rust prints

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment, root } from './children.mjs';

const DOCS = 'docs/kernel.md';

function generate(stem) {
  const cargo = ['run', '-q', '-p', 'ringcore', '--bin', 'constants', '--', stem];
  const text = output('cargo', cargo);
  if (stem === 'docs') return inDocs(text);
  // The committed file is what the formatter wants, or the two would argue for ever.
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  return output(process.execPath, [biome, 'format', `--stdin-file-path=src/${stem}.ts`], text);
}

/** docs/kernel.md with the table between its two markers replaced. */
function inDocs(table) {
  const [begin, end] = ['<!-- operations: generated -->', '<!-- end -->'];
  const page = readFileSync(join(root, DOCS), 'utf8');
  const [head, rest] = page.split(begin);
  const tail = rest?.split(end)[1];
  if (tail === undefined) throw new Error(`${DOCS} lacks ${begin} ... ${end}`);
  return `${head}${begin}\n${table}${end}${tail}`;
}

function output(command, args, input = '') {
  const result = spawnSync(command, args, { cwd: root, env: environment, input, encoding: 'utf8' });
  if (result.status === 0) return result.stdout;
  throw new Error(`${command} ${args.join(' ')}\n${result.error ?? result.stderr}`);
}

function firstDifference(file, committed, wanted) {
  const have = committed.split('\n');
  const want = wanted.split('\n');
  const line = want.findIndex((text, index) => text !== have[index]);
  const at = line < 0 ? want.length : line;
  const shown = `\n  committed: ${have[at] ?? '(end)'}\n  generated: ${want[at] ?? '(end)'}`;
  return `${file}:${at + 1}: not what Rust prints; run \`npm run constants\`.${shown}`;
}

try {
  for (const stem of ['sqe', 'cqe', 'table', 'constants', 'docs']) {
    const file = stem === 'docs' ? DOCS : `src/${stem}.ts`;
    const text = generate(stem);
    let committed = '';
    try {
      committed = readFileSync(join(root, file), 'utf8');
    } catch {
      // The first run makes it.
    }
    if (committed === text) continue;
    if (process.argv.includes('--check')) {
      console.log(firstDifference(file, committed, text));
      process.exitCode = 1;
    } else {
      writeFileSync(join(root, file), text);
      console.log(`${file} written`);
    }
  }
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
}
