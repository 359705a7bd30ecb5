// Which names does the declaration declare that begins at a given line? Good enough for formatted
// Rust and TypeScript, which is all there is here.

const rustModifiers = /^(?:(?:pub(?:\([^)]*\))?|default|async|unsafe|extern(?:\s+"[^"]*")?)\s+)+/;
const rustKeyword = /fn|struct|enum|union|trait|type|mod|const|static(?:\s+mut)?/;
const rustItem = new RegExp(
  `^(?:const\\s+)?(?:unsafe\\s+)?(?:(?:${rustKeyword.source})\\s+|macro_rules!\\s*)((?:r#)?\\w+)`,
);
const typescriptModifier =
  /export|default|declare|abstract|async|public|private|protected|static|override|readonly/;
const typescriptModifiers = new RegExp(
  `^(?:(?:${typescriptModifier.source}|accessor|get|set)\\s+(?![=:(?;]))+`,
);
const typescriptItem =
  /^(?:function\s*\*?|class|interface|type|enum|const|let|var)\s*(?<=[\s*])([\w$]+)/;

/** `source` is { language, raw, lines }, `index` the line after the marker. */
export function declaredNames(source, index) {
  const start = skip(source, index);
  // Long enough for the signature of an impl or the list of a re-export.
  const text = source.raw
    .slice(start, start + 20)
    .filter((_, at) => !isComment(source.lines[start + at]))
    .join('\n')
    .trim();
  if (text === '') return [];
  return source.language === 'rust' ? rustNames(text) : typescriptNames(text);
}

function isComment({ code, comment }) {
  return code.trim() === '' && comment.trim() !== '';
}

// Over blank lines, comments, attributes and decorators, which may take several lines.
function skip(source, index) {
  let depth = 0;
  let at = index;
  for (; at < source.lines.length; at += 1) {
    const code = source.lines[at].code.trim();
    if (depth === 0 && code !== '' && !/^#!?\[/.test(code) && !/^@\w/.test(code)) break;
    if (source.language === 'rust') {
      depth += (code.match(/\[/g) ?? []).length - (code.match(/\]/g) ?? []).length;
    }
  }
  return at;
}

function rustNames(full) {
  const text = full.replace(rustModifiers, '');
  const item = rustItem.exec(text);
  if (item) return [item[1]];
  if (/^use\s/.test(text)) return listed(text.slice(0, text.indexOf(';')), /\bas\s+(\w+)/);
  const impl = /^impl\b\s*(<[^{]*?>\s)?\s*([^{]*)\{/.exec(text);
  if (impl) {
    const head = impl[2].replace(/<.*>/gs, '').replace(/\bwhere\b[\s\S]*/, '');
    const names = head.split(/\bfor\b/).map((part) => part.trim().split('::').at(-1));
    // `impl Drop for Op` may stand under Op.drop.
    return names.flatMap((name) => [name, name.slice(0, 1).toLowerCase() + name.slice(1)]);
  }
  // A field or a variant.
  const member = /^((?:r#)?\w+)\s*(?:[:,({=]|$)/.exec(text);
  return member ? [member[1]] : [];
}

function typescriptNames(full) {
  const text = full.replace(typescriptModifiers, '');
  const item = typescriptItem.exec(text);
  if (item) return [item[1]];
  if (/^(?:type\s+)?\{/.test(text)) return listed(text.slice(0, text.indexOf('}')), /\bas\s+(\w+)/);
  if (text.startsWith('|')) return text.split('\n')[0].match(/\w+/g) ?? [];
  const symbol = /^\*?\s*\[Symbol\.(\w+)\]/.exec(text);
  if (symbol) return [symbol[1]];
  const member = /^\*?\s*(#?[\w$]+|'[^']*')\s*[?!]?\s*(?:[(<:=,;]|$)/.exec(text);
  if (!member) return [];
  // What TypeScript calls constructor is `new` in Rust.
  return member[1] === 'constructor' ? ['constructor', 'new'] : [member[1].replace(/'/g, '')];
}

// The names in `use a::{B, C as D}` and `export { A, B as C }`.
function listed(text, alias) {
  return text
    .split(/[,{}]/)
    .map((part) => alias.exec(part)?.[1] ?? /(\w+)\s*$/.exec(part)?.[1])
    .filter(Boolean);
}
