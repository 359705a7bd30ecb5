// The tests that the docs name: what stands in italics there is the title of a test that exists.
//
//   node .ci/titles.mjs [root]     the same as a part of tidy.mjs

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root as ownRoot } from './children.mjs';
import { title } from './pairs.mjs';
import { repositoryFiles, textOf } from './scan.mjs';

export const PAGES = ['docs/test-map.md', 'docs/safety.md'];

const italics = /(?<![*\w\\`])\*(?![*\s])((?:\\\*|[^*])+?)(?<![\s\\])\*(?![*\w])/g;
const rustTest =
  /#\[(?:\w+::)*test\b[^\]]*\](?:\s*(?:\/\/[^\n]*\n|#\[[^\]]*\]))*\s*(?:async )?fn (\w+)/g;
const typescriptTest =
  /^[ \t]*(?:test|all|\w+Test|except\(.*?\))(?:\.(?:serial|failing))*\(\s*(['"`])(.*?)\1/gm;
/** Titles out of a list. */
const listed = /^[ \t]*test(?:\.serial)?\(title,/m;

/** Faults as "file:line: what is wrong". */
export function checkTitles(root) {
  const pages = PAGES.map((page) => [page, textOf(root, page)]).filter(([, text]) => text);
  if (pages.length === 0) return [];
  const { known, patterns } = titlesOf(root);
  const problems = [];
  for (const [page, text] of pages) {
    for (const found of text.matchAll(italics)) {
      const name = title(found[1]);
      if (known.has(name) || patterns.some((pattern) => pattern.test(name))) continue;
      const line = text.slice(0, found.index).split('\n').length;
      const shown = found[1].replace(/\s+/g, ' ');
      problems.push(`${page}:${line}: no test is called "${shown}"`);
    }
  }
  return problems;
}

/** Titles as they are compared; those with a \${...} inside match any text there. */
function titlesOf(root) {
  const known = new Set();
  const patterns = [];
  for (const file of repositoryFiles(root)) {
    if (/^crates\/.*\.rs$/.test(file)) {
      for (const [, name] of (textOf(root, file) ?? '').matchAll(rustTest)) known.add(title(name));
    } else if (/^__test__\/.*\.spec\.ts$/.test(file)) {
      const source = textOf(root, file) ?? '';
      if (listed.test(source)) {
        for (const [, text] of source.matchAll(/'((?:\S+ ){3,}[^'\n]*)'/g)) known.add(title(text));
      }
      for (const [, quote, text] of source.matchAll(typescriptTest)) {
        const parts = quote === '`' ? text.split(/\$\{[^}]*\}/) : [text.replace(/\\(.)/g, '$1')];
        if (parts.length === 1) known.add(title(parts[0]));
        else patterns.push(new RegExp(`^${parts.map(title).join('.*')}$`));
      }
    }
  }
  return { known, patterns };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const problems = checkTitles(process.argv[2] ?? ownRoot);
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exitCode = 1;
}
