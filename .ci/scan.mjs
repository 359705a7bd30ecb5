// Reads Rust and TypeScript just well enough for the checkers: which text is code, which is
// comment, and which files there are.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files of the repository: what git has or would add, or everything that is not made. */
export function repositoryFiles(root) {
  try {
    const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    const stdio = ['ignore', 'pipe', 'ignore'];
    const names = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio }).split('\0');
    if (names.length > 1) return [...new Set(names)].filter(Boolean).sort();
  } catch {
    // No git, or not a checkout.
  }
  return filesUnder(root, '').filter((file) => !/\.node$|^index\.cjs$/.test(file));
}

/** Paths relative to the root, sorted; nothing when the folder is not there. */
export function filesUnder(root, folder) {
  const made = new Set(['.git', 'node_modules', 'target', 'dist']);
  const found = [];
  const walk = (path) => {
    let entries = [];
    try {
      entries = readdirSync(join(root, path), { withFileTypes: true });
    } catch {
      return;
    }
    for (const entry of entries) {
      if (made.has(entry.name)) continue;
      const name = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) walk(name);
      else if (entry.isFile()) found.push(name);
    }
  };
  walk(folder);
  return found.sort();
}

/** The text of a file, or undefined when it is not there. */
export function textOf(root, file) {
  try {
    return readFileSync(join(root, file), 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Splits a source file into lines of { code, comment }: strings are blank in the code, and
 * everything that is comment stands in `comment`.
 */
export function scan(text, language) {
  const pattern = language === 'rust' ? rustToken : typescriptToken;
  const code = [];
  const comment = [];
  let before = '';
  const put = (piece, kind) => {
    const blank = piece.replace(/[^\n]/g, ' ');
    code.push(kind === 'code' ? piece : blank);
    comment.push(kind === 'comment' ? piece : blank);
  };
  for (let at = 0; at < text.length; ) {
    const piece = pattern(text, at, before);
    put(text.slice(at, piece.end), piece.kind);
    if (piece.kind !== 'comment' && text.slice(at, piece.end).trim() !== '') {
      before = text.slice(at, piece.end);
    }
    at = piece.end;
  }
  const comments = comment.join('').split('\n');
  return code
    .join('')
    .split('\n')
    .map((line, index) => ({ code: line, comment: comments[index] }));
}

const word = /[A-Za-z0-9_$]+|\s+|[^A-Za-z0-9_$\s]/y;

function match(regex, text, at, kind) {
  regex.lastIndex = at;
  const found = regex.exec(text);
  return found ? { end: at + found[0].length, kind } : undefined;
}

function commentAt(text, at, nested) {
  if (text.startsWith('//', at)) return match(/[^\n]*/y, text, at, 'comment');
  if (!text.startsWith('/*', at)) return undefined;
  let depth = 0;
  for (let end = at; end < text.length; end += 1) {
    const two = text.slice(end, end + 2);
    if (two === '/*' && (nested || end === at)) depth += 1;
    else if (two === '*/') depth -= 1;
    else continue;
    end += 1;
    if (depth === 0) return { end: end + 1, kind: 'comment' };
  }
  return { end: text.length, kind: 'comment' };
}

function rustToken(text, at, before) {
  const inWord = /[A-Za-z0-9_]$/.test(before) && /[A-Za-z0-9_]/.test(text[at - 1] ?? '');
  return (
    commentAt(text, at, true) ??
    (inWord ? undefined : match(/b?r(#*)"[\s\S]*?"\1/y, text, at, 'string')) ??
    match(/"(?:\\[\s\S]|[^"\\])*"?/y, text, at, 'string') ??
    // A quote that no second quote follows at once begins a lifetime.
    match(/'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\\n])'/y, text, at, 'string') ??
    match(word, text, at, 'code')
  );
}

function typescriptToken(text, at, before) {
  // A slash begins a regular expression where no value can stand before it.
  const regexAllowed = before === '' || /^(?:[(,=:[!&|?{};>+~*%^<-]|return|case)$/.test(before);
  return (
    commentAt(text, at, false) ??
    match(/'(?:\\[\s\S]|[^'\\\n])*'?|"(?:\\[\s\S]|[^"\\\n])*"?/y, text, at, 'string') ??
    match(/`(?:\\[\s\S]|[^`\\])*`?/y, text, at, 'string') ??
    (regexAllowed
      ? match(/\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y, text, at, 'string')
      : undefined) ??
    match(word, text, at, 'code')
  );
}
