// Pair: crates/ringcore/tests/address.rs
import { SocketAddress } from 'node:net';
import test from 'ava';
import { type AddressLike, decode, encode } from '../src/address.ts';
import { Random } from '../src/mock.ts';
import { many } from './support.ts';

const hex = (address: AddressLike) => Buffer.from(encode(address)).toString('hex');

test('an ipv4 address is sixteen bytes with its port big-endian', (t) => {
  const address = { address: '127.0.0.1', port: 8080 };
  t.is(hex(address), '02001f907f0000010000000000000000');
  t.deepEqual(decode(encode(address)), { family: 'IPv4', ...address });
  t.is(hex({ address: '255.254.0.9', port: 65535 }), '0200fffffffe00090000000000000000');
});

test('an ipv6 address has its scope in the order of the machine', (t) => {
  const plain = { address: '::1', port: 1 };
  t.is(hex(plain), `0a000001${'0'.repeat(8)}${'0'.repeat(31)}1${'0'.repeat(8)}`);
  t.deepEqual(decode(encode(plain)), { family: 'IPv6', ...plain });
  const scoped = { address: 'fe80::1:2', port: 443, scopeid: 7 };
  t.is(hex(scoped), '0a0001bb00000000fe800000000000000000000000010002' + '07000000');
  t.deepEqual(decode(encode(scoped)), { family: 'IPv6', ...scoped });
});

// PAIR: only-typescript -- the standard library of Rust has the field as it lies in memory
test('an ipv6 flow is big-endian and a numeric zone is a scope', (t) => {
  const flow = { address: 'fe80::1:2', port: 443, scopeid: 7, flowlabel: 0x12345 };
  t.is(hex(flow), '0a0001bb00012345fe800000000000000000000000010002' + '07000000');
  t.deepEqual(decode(encode(flow)), { family: 'IPv6', ...flow });
  t.is(hex({ address: 'fe80::1%3', port: 0 }), hex({ address: 'fe80::1', port: 0, scopeid: 3 }));
});

test('a unix path ends with zero and an abstract name with the length', (t) => {
  t.is(hex({ path: '/a' }), '01002f6100');
  t.deepEqual(decode(encode({ path: '/a' })), { family: 'unix', path: '/a' });
  t.is(hex({ path: '\0ab\0' }), '010000616200');
  t.deepEqual(decode(encode({ path: '\0ab\0' })), { family: 'unix', path: '\0ab\0' });
  t.is(hex({ path: '' }), '0100');
  t.deepEqual(decode(encode({ path: '' })), { family: 'unix', path: '' });
  // The kernel leaves out the zero of a path that fills all the room.
  const full = Buffer.concat([
    encode({ path: '/'.repeat(107) }).subarray(0, 109),
    Buffer.from('x'),
  ]);
  t.deepEqual(decode(full), { family: 'unix', path: `${'/'.repeat(107)}x` });
});

test('a path that is not utf 8 keeps its bytes', (t) => {
  const path = Uint8Array.from([0x2f, 0xff, 0xfe]);
  t.deepEqual(decode(encode({ path })), { family: 'unix', path });
});

test('bytes that are no address are none', (t) => {
  for (const bytes of ['', '02', '0200', '02001f90', '0a0001bb00000000', '1000000000000000']) {
    t.is(decode(Buffer.from(bytes, 'hex')), undefined, bytes);
  }
});

test('every address comes back from its bytes', (t) => {
  const random = new Random(7);
  for (let i = 0; i < many(2000); i++) {
    const bytes = Buffer.alloc(28);
    // Many zeros, where the text has something to leave out.
    for (let at = 2; at < 28; at++) bytes[at] = random.chance(60) ? 0 : random.below(256);
    bytes[4] = 0; // A flow has 28 bits.
    if (random.chance(10)) bytes.fill(0, 8, 18).fill(0xff, 18, 20);
    bytes[0] = 10;
    const address = decode(bytes) as Exclude<ReturnType<typeof decode>, undefined>;
    t.deepEqual(Buffer.from(encode(address)), bytes, JSON.stringify(address));
    if (address.family === 'unix') throw new Error('it is IPv6');
    const node = new SocketAddress({ address: address.address, family: 'ipv6' });
    t.is(address.address, node.address, 'as node:net writes it');
    const v4 = Uint8Array.from([2, 0, ...bytes.subarray(2, 8), 0, 0, 0, 0, 0, 0, 0, 0]);
    t.deepEqual(encode(decode(v4) as AddressLike), v4);
  }
});

// PAIR: only-typescript -- the parser of Rust is that of its standard library
test('every way to write an ipv6 address is read as node reads it', (t) => {
  const ways = ['::', '1::', '::1', '1:2:3:4:5:6:7:8', '1::8', '::ffff:1.2.3.4', '::1.2.3.4'];
  ways.push('1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', '64:ff9b::1.2.3.4', 'ABCD:EF01::', '0:0::0:0');
  ways.push('1:0:0:2:0:0:0:3', '1:2:3:4:5:6:1.2.3.4', '0001:0002::000f', '1:0:2:0:3:0:4:0');
  for (const way of ways) {
    const read = decode(encode({ address: way, port: 0 }));
    const { address } = new SocketAddress({ address: way, family: 'ipv6' });
    t.deepEqual(read, { family: 'IPv6', address, port: 0 }, way);
  }
});

test('a path that is too long or has a zero inside is an error', (t) => {
  const RANGE = { code: 'ERR_OUT_OF_RANGE' };
  t.is(encode({ path: 'p'.repeat(107) }).length, 110);
  t.is(encode({ path: `\0${'p'.repeat(107)}` }).length, 110);
  t.throws(() => encode({ path: 'p'.repeat(108) }), RANGE);
  t.throws(() => encode({ path: '€'.repeat(36) }), RANGE, 'bytes, not characters');
  t.throws(() => encode({ path: `\0${'p'.repeat(108)}` }), RANGE);
  t.throws(() => encode({ path: 'a\0b' }), { code: 'ERR_INVALID_ARG_VALUE' });
});

// PAIR: only-typescript -- Rust's types refuse these at compile time
test('what is no address is a typed error', (t) => {
  const any = (value: unknown) => value as never;
  for (const address of [null, undefined, 5, 'localhost:80', () => {}]) {
    t.throws(() => encode(any(address)), { code: 'ERR_INVALID_ARG_TYPE' }, String(address));
  }
  for (const address of [{}, { address: 5, port: 1 }, { path: 5 }, { path: null }]) {
    t.throws(() => encode(any(address)), { code: 'ERR_INVALID_ARG_TYPE' }, JSON.stringify(address));
  }
  const texts = [
    '',
    'localhost',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    ':::',
    '1:2',
    'fe80::1%lo',
    ' ::1',
  ];
  for (const text of [...texts, '1.2.3.4%1', '::1%', '::1%1%2', '::1%-1']) {
    const code = { code: 'ERR_INVALID_ARG_VALUE' };
    t.throws(() => encode({ address: text, port: 1 }), code, text);
  }
  for (const port of [-1, 65536, 1.5, Number.NaN]) {
    t.throws(() => encode({ address: '::1', port }), { code: 'ERR_OUT_OF_RANGE' }, `${port}`);
  }
  t.throws(() => encode(any({ address: '::1', port: '1' })), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const scopeid of [-1, 2 ** 32, 0.5]) {
    t.throws(() => encode({ address: '::1', port: 1, scopeid }), { code: 'ERR_OUT_OF_RANGE' });
  }
  const flowlabel = 2 ** 28;
  t.throws(() => encode({ address: '::1', port: 1, flowlabel }), { code: 'ERR_OUT_OF_RANGE' });
  const wrong = [
    { family: 'IPv6', address: '1.2.3.4', port: 1 },
    { family: 'IPv4', address: '::1', port: 1 },
    { family: 'IPv4', path: '/a' },
    { family: 'unix', address: '::1', port: 1 },
  ];
  for (const address of wrong) {
    t.throws(() => encode(address), { code: 'ERR_INVALID_ARG_VALUE' }, JSON.stringify(address));
  }
});
