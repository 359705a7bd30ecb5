// Socket addresses, and their bytes as the kernel has them.
// Pair: crates/ringcore/src/address.rs
//
//   IPv4   family 2 | port 2, big-endian | address 4 | zeros 8
//   IPv6   family 2 | port 2, big-endian | flow 4, big-endian | address 16 | scope id 4
//   unix   family 2 | path, NUL          abstract: NUL, name          unnamed: nothing

import { checkInteger, rangeError, typeError, valueError } from './error.ts';

/** An address of the internet; the shape is that of `server.address()` of node:net. */
export interface InetAddress {
  readonly family: 'IPv4' | 'IPv6';
  readonly address: string;
  readonly port: number;
  /** IPv6 only: the interface of a link-local address, as os.networkInterfaces() has it. */
  readonly scopeid?: number;
  /** IPv6 only: traffic class and flow label. */
  readonly flowlabel?: number;
}

/** A socket in the file system; `\0name` is abstract, and an empty path has no name. */
export interface UnixAddress {
  readonly family: 'unix';
  /** Bytes where the path is no valid UTF-8. */
  readonly path: string | Uint8Array;
}

// PAIR: Address
/** Where a socket is. */
export type Address = InetAddress | UnixAddress;

/** An address as operations take it: the family follows from the rest. */
export type AddressLike = (Omit<InetAddress, 'family'> | Omit<UnixAddress, 'family'>) & {
  readonly family?: string | undefined;
};

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** Room for a path in struct sockaddr_un. */
const UNIX_PATH = 108;

/** The byte order of this machine, in which the kernel has all but ports and flows. */
const LITTLE: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

// PAIR: encode
/** The bytes of an address; the typed error of a wrong one. */
export function encode(address: AddressLike): Uint8Array {
  if (typeof address !== 'object' || address === null) {
    throw typeError('address', 'of type object', address);
  }
  if ('path' in address) {
    checkFamily(address.family, 'unix');
    return encodeUnix(address.path);
  }
  if (typeof address.address !== 'string') {
    throw typeError('address.address', 'of type string', address.address);
  }
  const port = checkInteger('address.port', address.port, 0, 0xffff);
  const { isIPv4, isIPv6 } = process.getBuiltinModule('node:net');
  if (isIPv4(address.address)) {
    checkFamily(address.family, 'IPv4');
    const bytes = new Uint8Array(16);
    family(bytes, AF_INET, port);
    bytes.set(address.address.split('.').map(Number), 4);
    return bytes;
  }
  const [text = '', zone, ...more] = address.address.split('%');
  const numeric = zone === undefined || /^\d{1,9}$/.test(zone);
  if (!isIPv6(text) || !numeric || more.length > 0) {
    const problem = 'must be an IPv4 or IPv6 address, its zone a number';
    throw valueError('address.address', problem, address.address);
  }
  checkFamily(address.family, 'IPv6');
  const { flowlabel = 0, scopeid = Number(zone ?? 0) } = address;
  const bytes = new Uint8Array(28);
  const view = family(bytes, AF_INET6, port);
  view.setUint32(4, checkInteger('address.flowlabel', flowlabel, 0, 0xfffffff));
  bytes.set(parse6(text), 8);
  view.setUint32(24, checkInteger('address.scopeid', scopeid, 0, 0xffffffff), LITTLE);
  return bytes;
}

/** The first four bytes of an internet address. */
function family(bytes: Uint8Array, number: number, port: number): DataView {
  const view = new DataView(bytes.buffer);
  view.setUint16(0, number, LITTLE);
  view.setUint16(2, port);
  return view;
}

function checkFamily(actual: unknown, wanted: Address['family']): void {
  if (actual === undefined || actual === wanted) return;
  throw valueError('address.family', `must be '${wanted}' for such an address`, actual);
}

function encodeUnix(path: unknown): Uint8Array {
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw typeError('address.path', 'of type string or an instance of Uint8Array', path);
  }
  const name = Buffer.from(path as string);
  const abstract = name[0] === 0;
  if (!abstract && name.includes(0)) {
    throw valueError('address.path', 'must have NUL bytes only as an abstract name', `${name}`);
  }
  // A path ends with NUL, an abstract name with the length of the address.
  const most = abstract ? UNIX_PATH : UNIX_PATH - 1;
  if (name.length > most) throw rangeError('address.path', `<= ${most} bytes`, name.length);
  const bytes = new Uint8Array(2 + name.length + (abstract || name.length === 0 ? 0 : 1));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, LITTLE);
  bytes.set(name, 2);
  return bytes;
}

/** The 16 bytes of a valid IPv6 address. */
function parse6(text: string): Uint8Array {
  // An IPv4 address at the end is its last two groups.
  const dotted = /\d+\.\d+\.\d+\.\d+$/.exec(text)?.[0];
  const [a = 0, b = 0, c = 0, d = 0] = dotted?.split('.').map(Number) ?? [];
  const tail = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  const plain = dotted === undefined ? text : text.slice(0, -dotted.length) + tail;
  const [left = [], right = []] = plain
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = new Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

// PAIR: decode
/** The address in these bytes; `undefined`: of a family that is not known here, or of no length. */
export function decode(bytes: Uint8Array): Address | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const number = view.getUint16(0, LITTLE);
  if (number === AF_UNIX) return { family: 'unix', path: unixPath(bytes.subarray(2)) };
  if (number === AF_INET && bytes.length >= 8) {
    const address = bytes.subarray(4, 8).join('.');
    return { family: 'IPv4', address, port: view.getUint16(2) };
  }
  if (number !== AF_INET6 || bytes.length < 28) return undefined;
  const [flowlabel, scopeid] = [view.getUint32(4), view.getUint32(24, LITTLE)];
  return {
    family: 'IPv6',
    address: format6(view),
    port: view.getUint16(2),
    ...(scopeid === 0 ? {} : { scopeid }),
    ...(flowlabel === 0 ? {} : { flowlabel }),
  };
}

function unixPath(bytes: Uint8Array): string | Uint8Array {
  const end = bytes[0] === 0 ? -1 : bytes.indexOf(0);
  const name = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end));
  const text = name.toString();
  return name.equals(Buffer.from(text)) ? text : new Uint8Array(name);
}

/** As inet_ntop(3): the longest run of zeros is `::`, and what embeds IPv4 ends with it. */
function format6(view: DataView): string {
  const groups = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => view.getUint16(8 + 2 * index));
  let [start, length] = [-1, 1];
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (groups[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  const embeds = start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff));
  if (embeds) {
    const last = [20, 21, 22, 23].map((at) => view.getUint8(at)).join('.');
    return `::${length === 5 ? 'ffff:' : ''}${last}`;
  }
  return start < 0 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}
