// index.d.ts is generated and committed. The build has just written it: when it now differs from
// what git has, although nothing that it is made from does, it was not committed with its source.

import { execFileSync } from 'node:child_process';
import { root } from './children.mjs';

const sources = ['src/*.rs', 'src/binding', 'Cargo.toml', 'Cargo.lock', 'package.json'];

function changed(...paths) {
  const args = ['status', '--porcelain', '--', ...paths];
  const stdio = ['ignore', 'pipe', 'ignore'];
  const lines = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio }).split('\n');
  // The second column is the work tree against the index: `git add` settles it.
  return lines.filter((line) => line !== '' && line[1] !== ' ').map((line) => line.slice(3));
}

try {
  if (changed('index.d.ts').length > 0 && changed(...sources).length === 0) {
    console.log('index.d.ts is not what the build makes: commit the file as it is now.');
    process.exitCode = 1;
  }
} catch {
  // Not a git checkout: there is nothing to compare with.
}
