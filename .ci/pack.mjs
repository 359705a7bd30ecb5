// Makes the packages as npm serves them: the main one, which has no binary, and one for each
// platform whose binary is here. Nothing in the repository is changed.
//
//   node .ci/pack.mjs [folder]         this machine's binary; into packages/, if none is named
//   node .ci/pack.mjs --all [folder]   every target, with the binaries that the workflow put into
//                                      artifacts/; one that is missing is an error
//
// The repository's own package.json names no platform package: `npm ci` must work before any of
// them has been published. The names are added here, to the packed copy, as `napi pre-publish`
// would add them.

import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onSignal, root, run, tool } from './children.mjs';

/** Folders of the top level that can be in no package, and are large. */
const heavy = new Set(['.git', 'node_modules', 'target', 'npm', 'packages', 'artifacts']);

/** Packs into `folder`. Returns what `npm pack --json` says of each: filename, size, files. */
export async function pack(folder, all = false) {
  const stage = mkdtempSync(join(tmpdir(), 'ringcore-pack-'));
  const clean = () => rmSync(stage, { recursive: true, force: true });
  const forget = onSignal(clean);
  try {
    copyRepository(stage);
    nameRepository(stage);
    await succeed(tool('@napi-rs/cli', 'napi', ['create-npm-dirs', '--cwd', stage]));
    const platforms = readdirSync(join(stage, 'npm')).map((name) => join(stage, 'npm', name));
    nameAsOptional(stage, platforms.map(readPackage));
    const ready = platforms.filter((path) => addBinary(path, all));
    if (ready.length === 0) throw new Error('No binary is here; `npm run build` makes one');
    mkdirSync(folder, { recursive: true });
    const to = realpathSync(folder);
    const args = ['pack', stage, ...ready, '--json', '--pack-destination', to];
    const options = { env: { npm_config_loglevel: 'error', npm_config_dry_run: 'false' } };
    const said = await succeed(run('npm', args, options));
    // Around it stands what npm has to say about its own configuration.
    return JSON.parse(said.slice(said.indexOf('[\n'), said.lastIndexOf(']') + 1));
  } finally {
    forget();
    clean();
  }
}

async function succeed(running) {
  const { code, output } = await running;
  if (code !== 0) throw new Error(output.trimEnd());
  return output;
}

// npm decides what goes in, so it is shown everything that it must leave out as well.
function copyRepository(stage) {
  for (const name of readdirSync(root)) {
    if (!heavy.has(name)) cpSync(join(root, name), join(stage, name), { recursive: true });
  }
}

function readPackage(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

// A provenance statement must agree with the manifest on where the sources are.
function nameRepository(stage) {
  const name = process.env.GITHUB_REPOSITORY;
  if (!name) return;
  const repository = { type: 'git', url: `git+https://github.com/${name}.git` };
  writePackage(stage, { ...readPackage(stage), repository });
}

function writePackage(folder, manifest) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function nameAsOptional(stage, packages) {
  const manifest = readPackage(stage);
  manifest.optionalDependencies = Object.fromEntries(
    packages.map(({ name, version }) => [name, version]).sort(),
  );
  writePackage(stage, manifest);
}

function addBinary(folder, all) {
  const { main } = readPackage(folder);
  const places = all ? [join(root, 'artifacts'), root] : [root];
  const found = places.map((place) => join(place, main)).find((path) => existsSync(path));
  if (found === undefined && all) throw new Error(`${main} is not in artifacts/`);
  if (found === undefined) return false;
  copyFileSync(found, join(folder, main));
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  return true;
}

async function main(args) {
  const all = args.includes('--all');
  const folder = resolve(args.find((arg) => !arg.startsWith('-')) ?? join(root, 'packages'));
  for (const { filename, size, unpackedSize, files } of await pack(folder, all)) {
    const kib = (bytes) => `${Math.ceil(bytes / 1024)} KiB`;
    const text = `${kib(size)} packed, ${kib(unpackedSize)} unpacked, ${files.length} files`;
    console.log(`${basename(filename)}: ${text}`);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error(`ringcore pack: ${error.message}`);
    process.exitCode = 1;
  }
}
