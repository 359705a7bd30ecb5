// The benchmarks. See benchmark/README.md.
//
//   npm run bench -- setup              fetches runtimes into a cache, builds the Rust peers
//   npm run bench -- quick              six cases of files in a minute, with whatever is there
//   npm run bench -- files              all cases of files, all peers; writes RESULTS.md
//   npm run bench -- report             RESULTS.md and its plots once more, without measuring
//   npm run bench -- compare REV        this tree against another commit
//   npm run bench -- cases              the names of the cases
//   npm run bench -- core               the runtime's own steps
//
//   --case NAME     files, compare: this case, or those whose names begin so; may be repeated
//   --rounds N      rounds: 7 of core, 5 of files and compare, 2 of quick
//   --ms N          how long one process measures (files: 500, quick: 250)
//   --only TEXT     only the rows (core: the groups) whose name contains TEXT; may be repeated.
//                   Nothing is written then.
//   --resume        files: without the cases that were measured on this very commit
//   --dry           files: shows, and writes nothing
//   --keep          leaves the files that are worked on where they are
//   --node PATH     core: this Node instead of those that are found; may be repeated
//   --json          one line of JSON for each process, each case and each aim

import { parseArgs } from 'node:util';
import { core } from './core/run.mjs';
import { compare, files, listCases, quick, reportOnly, settings } from './files/run.mjs';
import { setUp } from './lib/peers.mjs';

const repeated = { type: 'string', multiple: true, default: [] };
const flag = { type: 'boolean', default: false };

const commands = {
  setup: () => setUp(),
  quick: (values) => quick(settings(values, true)),
  files: (values) => files(settings(values)),
  report: () => reportOnly(),
  compare: (values, [rev]) => compare(rev, settings(values)),
  cases: () => listCases(),
  core: (values) => core({ ...values, rounds: settings({ rounds: 7, ...values }).rounds }),
};

function usage(text) {
  console.error(`${text}\nusage: npm run bench -- ${Object.keys(commands).join(' | ')} [OPTIONS]`);
  return 2;
}

async function main() {
  const options = {
    case: repeated,
    only: repeated,
    node: repeated,
    rounds: { type: 'string' },
    ms: { type: 'string' },
    resume: flag,
    json: flag,
    keep: flag,
    dry: flag,
  };
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  const [name, ...rest] = positionals;
  if (!Object.hasOwn(commands, name ?? '')) return usage(`no command ${name ?? 'was named'}`);
  return commands[name](values, rest);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
