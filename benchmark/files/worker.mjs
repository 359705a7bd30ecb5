// One measuring process:  worker.mjs FAMILY VARIANT '{"dir": ..., "name": ...}'
//
// Runs on Node, Bun and Deno and prints one line of JSON. FAMILY is a file of cases/.

import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { drive } from './drive.mjs';
import { Meter } from './meter.mjs';

const [familyName, variantName, json] = process.argv.slice(2);
const settings = JSON.parse(json);

/** The modules that a variant is about. They are loaded here, so that a case holds no loading. */
async function modules() {
  const ours = (file) => import(String(pathToFileURL(`${settings.dist}/${file}`)));
  if (variantName === 'dropin') return { fs: await ours('node/fs-promises.js') };
  if (variantName === 'op') return { ringcore: await ours('index.js') };
  if (variantName === 'callback' || variantName === 'sync') return { fs: await import('node:fs') };
  return { fs: await import('node:fs/promises') };
}

const family = await import(`./cases/${familyName}.mjs`);
// The drop-in has the names of node:fs/promises: it runs the very same program.
const program = family.variants[variantName === 'dropin' ? 'promises' : variantName];
if (program === undefined) throw new Error(`${familyName} has no variant ${variantName}`);
let line;
if (family.measure) line = await family.measure(program, { ...settings, modules, variantName });
else {
  const loaded = await modules();
  const context = { ...settings, ...loaded, run: loaded.ringcore?.run };
  const variant = { run: context.run, ...(await program(context)) };
  variant.check ??= family.check(context, variant);
  const meter = new Meter(settings);
  await drive(variantName, variant, { ...settings, isWhole: family.isWhole }, meter);
  line = meter.result();
}
process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(0));
