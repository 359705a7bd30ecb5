// What the first use costs: the import, and the first readFile, of a process that has just begun.

import { must } from '../meter.mjs';

export const cases = [
  {
    name: 'first-use',
    title: 'import, and the first readFile of 1 KiB',
    unit: 'process',
    main: { field: 'ns', name: 'import and first readFile', unit: 'ms' },
    columns: ['importMs', 'firstMs', 'secondMs'],
    params: { size: 1024 },
    data: ['small-1024'],
    warm: ['small-1024'],
    native: [],
    aims: [],
  },
];

export const variants = {
  promises: ({ fs }, path) => fs.readFile(path),
  sync: ({ fs }, path) => fs.readFileSync(path),
  bunfile: (_modules, path) => globalThis.Bun.file(path).bytes(),
  deno: (_modules, path) => globalThis.Deno.readFile(path),
};

export async function measure(program, context) {
  const path = `${context.dir}/small-1024/7`;
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const modules = await context.modules();
  const imported = performance.now();
  const bytes = await program(modules, path);
  const first = performance.now();
  const { user, system } = process.cpuUsage(cpu);
  must(bytes.length === 1024 && bytes[1023] === 7, 'the file is not what it was');
  await program(modules, path);
  return {
    ns: (first - begun) * 1e6,
    cpu: (user + system) * 1000,
    importMs: imported - begun,
    firstMs: first - imported,
    secondMs: performance.now() - first,
    ops: 1,
    all: 2,
    disk: 0,
  };
}
