// multishot_accept without ringcore: node:net.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const clients = Number(process.argv[2] ?? 100);
if (!(Number.isInteger(clients) && clients > 0)) {
  console.error('usage: multishot_accept [CLIENTS]');
  process.exit(2);
}
const path = `\0ringcore-multishot-${process.pid}`;
let served = 0;
const server = createServer((socket) => {
  served++;
  socket.end('A');
});
server.listen(path);
await once(server, 'listening');
await Promise.all(
  Array.from({ length: clients }, async () => {
    const socket = connect(path);
    socket.resume();
    await once(socket, 'close');
  }),
);
server.close();
console.log(`${served} connections`);
