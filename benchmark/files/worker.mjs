// One measuring process:  worker.mjs FAMILY VARIANT '{"dir": ..., "name": ...}'
//
// Runs on Node, Bun and Deno and prints one line of JSON. FAMILY is a file of cases/, VARIANT one
// of its programs; with @ringcore behind it on our modules instead of node's.

import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { drive } from './drive.mjs';
import { Meter } from './meter.mjs';

const [familyName, variantName, json] = process.argv.slice(2);
const settings = JSON.parse(json);

/** The drop-ins have the names of node's modules: they run the very same programs. */
const [programName, who] = variantName.split('@');
const PROMISES = ['node:fs/promises', 'node/fs-promises.js'];
const FS = ['node:fs', 'node/fs.js'];
const MODULES = { callback: FS, stream: FS, sync: FS };

/** The modules that a variant is about. They are loaded here, so that a case holds no loading. */
async function modules() {
  const ours = (file) => import(String(pathToFileURL(`${settings.dist}/${file}`)));
  if (programName === 'op') return { ringcore: await ours('index.js') };
  const [node, own] = MODULES[programName] ?? PROMISES;
  return { fs: await (who === 'ringcore' ? ours(own) : import(node)) };
}

const family = await import(`./cases/${familyName}.mjs`);
const program = family.variants[programName];
if (program === undefined) throw new Error(`${familyName} has no variant ${variantName}`);
let line;
if (family.measure) line = await family.measure(program, { ...settings, modules, programName });
else {
  const loaded = await modules();
  const context = { ...settings, ...loaded, run: loaded.ringcore?.run };
  const variant = { run: context.run, ...(await program(context)) };
  variant.check ??= family.check(context, variant);
  const meter = new Meter(settings);
  await drive(programName, variant, { ...settings, isWhole: family.isWhole }, meter);
  line = meter.result();
}
process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(0));
