// linked_cat without ringcore: read, wait, write, wait.

import { open } from 'node:fs/promises';

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: linked_cat FILE');
  process.exit(2);
}
try {
  const file = await open(path);
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    await new Promise((resolve, reject) => {
      const chunk = buffer.slice(0, bytesRead);
      process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  }
  await file.close();
} catch (error) {
  if (error.code !== 'EPIPE') {
    console.error(`linked_cat: ${error.message}`);
    process.exitCode = 1;
  }
}
