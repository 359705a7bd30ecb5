// What no formatter and no compiler looks at: lengths, machine-specific text, reasons for unsafe,
// titles of tests in the docs.
//
//   node .ci/tidy.mjs [root]

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { root as ownRoot } from './children.mjs';
import { sourcePairs } from './pairs.mjs';
import { repositoryFiles, scan, textOf } from './scan.mjs';
import { checkTitles } from './titles.mjs';

const limits = { columns: 100, file: 400, function: 70 };

// The ratchet: what is longer than the limit today, with its reason. Nothing here may grow, and
// what has become short enough must leave. Keys are paths, or "path name" for a function.
const longer = {
  // 'src/sqe.ts': { lines: 480, reason: 'generated, one line a constant' },
};

/** Every fault, as "file:line: what is wrong". */
export function check(root, exceptions = longer) {
  const problems = [];
  const report = (file, line, text) => problems.push(`${file}:${line}: ${text}`);
  const used = new Set();
  const measure = (key, file, line, lines, limit, what) => {
    const exception = exceptions[key];
    if (exception) used.add(key);
    if (exception && lines <= limit) {
      report(file, line, `${what} has ${lines} lines by now: take it off the list in .ci/tidy.mjs`);
    } else if (lines > (exception?.lines ?? limit)) {
      report(file, line, `${what} has ${lines} lines, ${exception?.lines ?? limit} are allowed`);
    }
  };
  const paired = new Set(sourcePairs(root).flatMap(({ ts, rs }) => [ts, rs]));
  for (const file of repositoryFiles(root)) {
    const text = textOf(root, file);
    // A zero byte says that this is no text, and undefined that it was deleted but not committed.
    if (text === undefined || text.includes('\0')) continue;
    const lines = text.replace(/\n$/, '').split('\n');
    for (const [index, line] of lines.entries()) checkMachine(file, index + 1, line, report);
    if (!/\.(rs|ts|mjs)$/.test(file) || file === 'index.d.ts') continue;
    for (const [index, line] of lines.entries()) checkShape(file, index + 1, line, report);
    const generated = lines.slice(0, 4).some((line) => line.startsWith('// Do not edit:'));
    if (paired.has(file) && !generated)
      measure(file, file, 1, lines.length, limits.file, 'the file');
    if (file.endsWith('.rs')) checkUnsafe(file, text, report);
    if (!/^(src|examples|crates\/[^/]+\/src)\//.test(file)) continue;
    for (const { name, line, length } of functionsOf(lines, file.endsWith('.rs'))) {
      measure(`${file} ${name}`, file, line, length, limits.function, name);
    }
  }
  problems.push(...checkTitles(root));
  for (const key of Object.keys(exceptions)) {
    if (!used.has(key)) report('.ci/tidy.mjs', 1, `the list names ${key}, which is not there`);
  }
  return problems;
}

function checkShape(file, line, text, report) {
  const columns = [...text].length;
  // A link cannot be broken.
  if (columns > limits.columns && !/^\s*(\/\/[/!]?|\*)\s*\S*https?:\/\/\S+$/.test(text)) {
    report(file, line, `${columns} columns, ${limits.columns} are allowed`);
  }
  if (text.includes('\t')) report(file, line, 'a tab: indent with two spaces');
}

// Folders of one machine, and the host of a package registry: both work for one person only.
const machine = [
  [/(?:^|[\s"'`(=:,])(\/(?:root|work|home|Users)\/[^\s"'`)]*)/, 'a path of one machine'],
  [/"resolved":\s*"(https?:\/\/[^"]*)/, 'the lock file names a registry'],
  [/\bhttps?:\/\/([\w.-]*(?:registry|artifactory|verdaccio)[\w.-]*)/i, 'a registry host'],
  [/^\s*(?:\/\/|@[^:\s]+:registry|registry)[^=]*=\s*"?((?:sparse\+)?https?:\S*)/, 'a registry'],
  [/^source = "(?!registry\+https:\/\/github\.com\/rust-lang\/crates\.io-index)(.*)"/, 'a source'],
];

function checkMachine(file, line, text, report) {
  for (const [pattern, what] of machine) {
    const found = pattern.exec(text);
    if (found) report(file, line, `${what}: ${found[1]}`);
  }
}

// The reason stands within four lines above; a comment that begins further up is read whole.
function checkUnsafe(file, text, report) {
  const lines = scan(text, 'rust');
  lines.forEach(({ code }, index) => {
    if (!/\bunsafe\s*(\{|impl\b)/.test(code)) return;
    let first = Math.max(0, index - 4);
    while (first > 0 && isComment(lines[first]) && isComment(lines[first - 1])) first -= 1;
    const above = lines.slice(first, index + 1).map(({ comment }) => comment);
    const reason = above.join('\n').split('SAFETY:').at(-1);
    if (!above.join('\n').includes('SAFETY:')) {
      report(file, index + 1, 'unsafe without a // SAFETY: comment above it');
    } else if (!/\bI[1-9]\b/.test(reason)) {
      report(file, index + 1, 'this SAFETY comment cites no invariant (I1 to I9)');
    }
  });
}

function isComment({ code, comment }) {
  return code.trim() === '' && comment.trim() !== '';
}

const rustModifier = /pub(?:\([^)]*\))? |default |const |async |unsafe |extern "[^"]*" /;
const rustFunction = new RegExp(`^(\\s*)(?:${rustModifier.source})*fn (\\w+)`);
const typescriptFunction = /^(\s*)(?:export )?(?:default )?(?:async )?function\s*\*?\s*(\w+)/;
const methodModifier = /public |private |protected |static |override |async |get |set /;
const typescriptMethod = new RegExp(
  `^( +)(?:${methodModifier.source})*\\*?(#?\\w+|\\[[\\w.]+\\])(?:<.*>)?\\((?:.*[{(,])?$`,
);
const keywords = /^(?:if|for|while|switch|catch|return|function|super|await|new)$/;

// The formatters have been here: a function ends at the first brace with its own indentation.
function functionsOf(lines, isRust) {
  const found = [];
  lines.forEach((text, index) => {
    const start = isRust
      ? rustFunction.exec(text)
      : (typescriptFunction.exec(text) ?? typescriptMethod.exec(text));
    if (!start || keywords.test(start[2]) || /[;}]$/.test(text)) return;
    const [, indent, name] = start;
    // A call over several lines looks like a method until its parenthesis closes with no brace.
    for (let end = index + 1; end < lines.length; end += 1) {
      const line = lines[end];
      if (!line.startsWith(indent) || /^\s/.test(line.slice(indent.length))) {
        if (line.trim() !== '' && !line.startsWith(indent)) return;
        continue;
      }
      const rest = line.slice(indent.length);
      if (rest === '}') found.push({ name, line: index + 1, length: end - index + 1 });
      if (rest !== '' && !/^(?:[)>]|where\b).*[{(,>]?$|^\{$/.test(rest)) return;
      if (/^\).*;$/.test(rest)) return;
    }
  });
  return found;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const problems = check(process.argv[2] ?? ownRoot);
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exitCode = 1;
}
