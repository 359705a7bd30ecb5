// multishot_accept: a server that takes every connection with one operation, and its own clients.
// Beside it: multishot_accept.rs; without ringcore: multishot_accept.node.mjs, .std.rs.
//
//   npm start -- --example multishot_accept 100
//
// The accept is submitted once; each connection is one more completion of it.

import { constants, type Future, Runtime } from 'ringcore';

const { AF_UNIX, SOCK_STREAM } = constants;

const clients = Number(process.argv[2] ?? 100);
if (!(Number.isInteger(clients) && clients > 0)) {
  console.error('usage: multishot_accept [CLIENTS]');
  process.exit(2);
}

const rt = new Runtime();
const { op } = rt;
/** A name that no file system has; nobody has to remove it. */
const address = { path: `\0ringcore-multishot-${process.pid}` };

type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** Connects and waits for one byte. */
function* client(): Steps<void> {
  const fd = yield* op.socket(AF_UNIX, SOCK_STREAM);
  yield* op.connect(fd, address);
  const byte = new Uint8Array(1);
  yield* op.recv(fd, byte);
  yield* op.close(fd);
}

function* server(): Steps<number> {
  const fd = yield* op.socket(AF_UNIX, SOCK_STREAM);
  yield* op.bind(fd, address);
  yield* op.listen(fd);
  const handles = Array.from({ length: clients }, () => rt.spawn(client));
  const connections = op.acceptMultishot(fd);
  let served = 0;
  while (served < clients) {
    const connection = yield* connections.next();
    if (connection === undefined) break;
    yield* op.send(connection, Uint8Array.of(65));
    yield* op.close(connection);
    served++;
  }
  yield* connections.close();
  for (const handle of handles) yield* handle;
  yield* op.close(fd);
  return served;
}

try {
  console.log(`${await rt.run(server)} connections`);
} catch (error) {
  console.error(`multishot_accept: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
