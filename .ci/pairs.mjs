// Checks that the Rust and the TypeScript half say the same things in the same order. The rules
// are in CONTRIBUTING.md, "Pairs".
//
//   node .ci/pairs.mjs [root]

import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root as ownRoot } from './children.mjs';
import { declaredNames } from './declarations.mjs';
import { filesUnder, scan, textOf } from './scan.mjs';

const core = 'crates/ringcore/src/';
const rustTests = 'crates/ringcore/tests/';
const headerLines = 6;
const fileMarkerLines = 12;

/** The pairs of source files, as { ts, rs }, whether both are there or not. */
export function sourcePairs(root) {
  const pairs = new Map();
  for (const ts of filesUnder(root, 'src')) {
    if (!ts.endsWith('.ts') || ts.endsWith('.d.ts') || ts.startsWith('src/node/')) continue;
    pairs.set(ts, rustTwin(ts));
  }
  for (const rs of filesUnder(root, core.slice(0, -1))) {
    if (!rs.endsWith('.rs') || rs.startsWith(`${core}bin/`)) continue;
    pairs.set(typescriptTwin(rs), rs);
  }
  if (textOf(root, 'src/binding/mod.rs') !== undefined) {
    pairs.set('src/binding.ts', 'src/binding/mod.rs');
  }
  return [...pairs].sort().map(([ts, rs]) => ({ ts, rs }));
}

function rustTwin(ts) {
  if (ts === 'src/binding.ts') return 'src/binding/mod.rs';
  if (ts === 'src/promise.ts') return 'src/binding/promise.rs';
  if (ts === 'src/index.ts') return `${core}lib.rs`;
  return (
    core +
    ts
      .slice('src/'.length)
      .replace(/\/index\.ts$/, '/mod.ts')
      .replace(/ts$/, 'rs')
  );
}

function typescriptTwin(rs) {
  if (rs === `${core}lib.rs`) return 'src/index.ts';
  return `src/${rs
    .slice(core.length)
    .replace(/\/mod\.rs$/, '/index.rs')
    .replace(/rs$/, 'ts')}`;
}

/** Every broken rule, as "file:line: what is wrong". */
export function check(root) {
  const problems = [];
  const report = (file, line, text) => problems.push(`${file}:${line}: ${text}`);
  for (const { ts, rs } of sourcePairs(root)) checkSources(root, ts, rs, report);
  for (const { ts, rs } of testPairs(root)) checkTests(root, ts, rs, report);
  checkInvariants(root, report);
  return problems;
}

function load(root, file) {
  const text = textOf(root, file);
  if (text === undefined) return undefined;
  const language = file.endsWith('.rs') ? 'rust' : 'typescript';
  return { file, language, raw: text.split('\n'), lines: scan(text, language) };
}

// --- markers ------------------------------------------------------------------------------------

const markerShape = /^(?:only-(\w+)(?:\s+|$))?([\w#]+(?:[-./][\w#]+)*)?\s*(?:--\s*(.*))?$/;

// { line, body, side, name, reason, next } of every marker, `line` counted from 1 and `next` being
// the index of the line after the marker and the comment lines that continue its reason.
function markersOf(source) {
  const markers = [];
  source.lines.forEach((line, index) => {
    const found = /^\s*\/\/!?\s*PAIR:\s*(.*?)\s*$/.exec(ownComment(line));
    if (!found) return;
    let body = found[1];
    let next = index + 1;
    for (; body.includes('--') && next < source.lines.length; next += 1) {
      const more = /^\s*\/\/(?![/!])(?!\s*PAIR:)\s*(.*?)\s*$/.exec(ownComment(source.lines[next]));
      if (!more) break;
      body += ` ${more[1]}`;
    }
    const [, side, name, reason] = markerShape.exec(body) ?? [];
    markers.push({ line: index + 1, body, side, name, reason, next });
  });
  return markers;
}

// A comment behind code belongs to that code.
function ownComment({ code, comment }) {
  return code.trim() === '' ? comment : '';
}

// "This whole file has no twin", in the first lines: the marker names the file itself.
function isFileMarker(marker, source, alone) {
  if (!marker.side || marker.line > fileMarkerLines || !marker.name) return false;
  const file = basename(source.file);
  if (marker.name === file || marker.name === source.file) return true;
  return alone && file.startsWith(`${marker.name}.`);
}

function fileMarker(source, alone) {
  return markersOf(source).find((marker) => isFileMarker(marker, source, alone));
}

function checkMarker(marker, source, report, needsName = true) {
  const { line, body, side, name, reason } = marker;
  const say = (text) => report(source.file, line, text);
  if (body === '' || (!name && (needsName || !side))) {
    say(`this marker is not understood: PAIR: ${body}`);
    return false;
  }
  if (side && side !== source.language) {
    say(`only-${side} stands in a ${source.language} file`);
    return false;
  }
  if (side && (reason ?? '').split(/\s+/).filter(Boolean).length < 3) {
    say(`only-${side} ${name ?? ''} needs a reason of at least three words after --`);
    return false;
  }
  return true;
}

/** snake_case and camelCase become camelCase; UPPER_CASE stays; r#, # and _ at the ends go. */
export function canonical(name) {
  return name
    .split('.')
    .map((part) => {
      const bare = part.replace(/^r#|^#/, '').replace(/^_+|_+$/g, '');
      if (/^[A-Z][A-Z0-9_]*$/.test(bare)) return bare;
      return bare.replace(/_+(.)/g, (_, letter) => letter.toUpperCase());
    })
    .join('.');
}

// --- source files -------------------------------------------------------------------------------

function checkSources(root, ts, rs, report) {
  const typescript = load(root, ts);
  const rust = load(root, rs);
  const sources = [typescript, rust].filter(Boolean);
  const alone = sources.length === 1;
  const marked = sources.filter((source) => fileMarker(source, alone));
  for (const source of marked) checkMarker(fileMarker(source, alone), source, report);
  // Rust files of the binding are the border's own business, so a TypeScript file that declares
  // itself alone may have a namesake there.
  const namesake = rs.startsWith('src/binding/') && marked.includes(typescript);
  if (!alone && marked.length > 0 && !namesake) {
    report(marked[0].file, 1, 'says that it has no twin, but the twin is there');
  }
  if (marked.length === 0 && alone) {
    report(sources[0].file, 1, `its twin ${typescript ? rs : ts} is missing`);
  }
  if (alone || marked.length > 0) {
    for (const source of sources) {
      if (marked.includes(source)) checkDeclarations(source, report, alone);
    }
    return;
  }
  checkHeader(typescript, rs, report);
  checkHeader(rust, ts, report);
  compare(checkDeclarations(typescript, report), checkDeclarations(rust, report), report);
}

function checkHeader(source, twin, report) {
  const names = source.lines
    .slice(0, headerLines)
    .map(({ comment }) => /^\s*\/\/!?\s*Pair:\s*(\S+)/.exec(comment)?.[1]);
  if (names.includes(twin)) return;
  const style = source.language === 'rust' ? '//!' : '//';
  report(source.file, 1, `its first ${headerLines} lines do not say \`${style} Pair: ${twin}\``);
}

// Checks each marker by itself and returns the shared ones.
function checkDeclarations(source, report, alone = false) {
  const shared = [];
  const seen = new Map();
  for (const marker of markersOf(source)) {
    if (isFileMarker(marker, source, alone) || !checkMarker(marker, source, report)) continue;
    const name = canonical(marker.name);
    if (seen.has(name)) {
      report(source.file, marker.line, `${name} was marked in line ${seen.get(name)} already`);
      continue;
    }
    seen.set(name, marker.line);
    const names = declaredNames(source, marker.next);
    if (!names.map(canonical).includes(name.split('.').at(-1))) {
      const found = names.length > 0 ? `declares ${names.join(', ')}` : 'is not a declaration';
      report(source.file, marker.line, `PAIR: ${marker.name}, but what follows ${found}`);
    }
    if (!marker.side) shared.push({ ...marker, name, file: source.file });
  }
  return shared;
}

// Both lists must be the same. Holes are named first; the order is compared when there are none.
function compare(left, right, report) {
  let holes = 0;
  for (const [here, there] of [
    [left, right],
    [right, left],
  ]) {
    const names = new Set(there.map(({ name }) => name));
    for (const { name, file, line } of here) {
      if (names.has(name)) continue;
      holes += 1;
      report(file, line, `${name} has no counterpart in the twin`);
    }
  }
  if (holes > 0) return;
  const at = left.findIndex(({ name }, index) => name !== right[index].name);
  if (at < 0) return;
  const { name, file, line } = left[at];
  const other = right[at];
  report(file, line, `${name} stands where ${other.file}:${other.line} has ${other.name}`);
}

// --- tests --------------------------------------------------------------------------------------

function testPairs(root) {
  const stems = new Set();
  for (const file of filesUnder(root, '__test__')) {
    const stem = /^__test__\/([^/]+)\.spec\.ts$/.exec(file)?.[1];
    if (stem) stems.add(stem);
  }
  for (const file of filesUnder(root, rustTests.slice(0, -1))) {
    const stem = /^crates\/ringcore\/tests\/([^/]+)\.rs$/.exec(file)?.[1];
    if (stem) stems.add(stem);
  }
  return [...stems].sort().map((stem) => ({
    ts: `__test__/${stem}.spec.ts`,
    rs: `${rustTests}${stem}.rs`,
  }));
}

function checkTests(root, ts, rs, report) {
  const sources = [load(root, ts), load(root, rs)].filter(Boolean);
  if (sources.length === 2) {
    compare(...sources.map((source) => titlesOf(source, report)), report);
    return;
  }
  const [source] = sources;
  // The stem of op.spec.ts is `op`, and its marker may say so.
  const marker = fileMarker(source, true);
  if (marker) checkMarker(marker, source, report);
  else report(source.file, 1, `its twin ${source.file === ts ? rs : ts} is missing`);
}

// A Rust name has neither capitals nor signs, so both are levelled: "EAGAIN doesn't reach ..." is
// the twin of eagain_doesnt_reach_...
export function title(text) {
  return text
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^a-z0-9]+/g, ' ')
    .trim();
}

function titlesOf(source, report) {
  const oneSided = [];
  for (const marker of markersOf(source)) {
    if (isFileMarker(marker, source, false)) continue;
    if (!marker.side) {
      report(source.file, marker.line, 'tests are paired by their titles; no marker is needed');
    } else if (checkMarker(marker, source, report, false)) oneSided.push(marker);
  }
  const tests = source.language === 'rust' ? rustTitles(source) : typescriptTitles(source);
  for (const marker of oneSided) {
    const test = tests.find(({ first }) => first >= marker.next);
    const between = source.lines.slice(marker.next, test?.first).some(({ code }) => code.trim());
    if (test && !between) test.oneSided = true;
    else report(source.file, marker.line, 'no test stands directly under this marker');
  }
  return tests
    .filter((test) => !test.oneSided)
    .map(({ name, line }) => ({ name: title(name), line, file: source.file }));
}

// { name, line, first }: `first` is the index of the line where the test begins, attributes
// included.
function rustTitles(source) {
  const tests = [];
  let first;
  let isTest = false;
  source.lines.forEach(({ code }, index) => {
    if (/^\s*#\[/.test(code)) {
      first ??= index;
      isTest ||= /#\[(?:\w+::)*test\b/.test(code);
      return;
    }
    const name = /\bfn\s+(\w+)/.exec(code)?.[1];
    if (name && isTest) tests.push({ name, line: index + 1, first });
    if (code.trim() !== '') {
      first = undefined;
      isTest = false;
    }
  });
  return tests;
}

function typescriptTitles(source) {
  const tests = [];
  const text = source.raw.join('\n');
  const call = /^[ \t]*(?:test|\w+Test)(?:\.(?:serial|skip|failing|only))*\(\s*(['"`])(.*?)\1/gm;
  for (const found of text.matchAll(call)) {
    const first = text.slice(0, found.index).split('\n').length - 1;
    if (source.lines[first].code.trim() === '') continue;
    tests.push({ name: found[2].replace(/\\(.)/g, '$1'), line: first + 1, first });
  }
  return tests;
}

// --- invariants ---------------------------------------------------------------------------------

function checkInvariants(root, report) {
  const page = 'ARCHITECTURE.md';
  const defined = new Map();
  for (const [index, line] of (textOf(root, page) ?? '').split('\n').entries()) {
    const name = /^[\s>#*-]*\*\*(I\d+)\b/.exec(line)?.[1];
    if (name && !defined.has(name)) defined.set(name, index + 1);
  }
  if (defined.size === 0) report(page, 1, 'no invariant is listed (lines that begin `**I1 ...`)');
  const cited = { rust: new Set(), typescript: new Set() };
  const folders = ['src', 'crates', '__test__', 'examples'];
  for (const file of folders.flatMap((folder) => filesUnder(root, folder))) {
    if (!/\.(rs|ts)$/.test(file) || file.endsWith('.d.ts')) continue;
    const { language, lines } = load(root, file);
    lines.forEach(({ comment }, index) => {
      for (const [name] of comment.matchAll(/\bI[1-9]\b/g)) {
        if (defined.size > 0 && !defined.has(name)) {
          report(file, index + 1, `cites ${name}, which ${page} does not list`);
        }
        if (/^(src|crates\/[^/]+\/src)\//.test(file)) cited[language].add(name);
      }
    });
  }
  for (const [name, line] of defined) {
    for (const [language, names] of Object.entries(cited)) {
      if (names.has(name)) continue;
      report(page, line, `${name} is cited nowhere in the ${language} sources`);
    }
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const problems = check(process.argv[2] ?? ownRoot);
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exitCode = 1;
}
