// Pictures for docs/images, packed better: browsers make them in haste. The same pixels, rows without filters (text on
// plain ground repeats itself as it is), deflated as hard as it goes.
import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = 8;

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  crc.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, crc]);
}

function* chunks(png) {
  for (let at = SIGNATURE; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield [png.toString("latin1", at + 4, at + 8), png.subarray(at + 8, at + 8 + length)];
    at += 12 + length;
  }
}

const paeth = (a, b, c) => {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
};

/** Takes the filters off the rows (PNG, 9.2). */
function plainRows(data, height, rowBytes, pixelBytes) {
  const rows = Buffer.alloc(height * (rowBytes + 1));
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1;
    const filter = data[start - 1];
    for (let x = 0; x < rowBytes; x++) {
      const a = x >= pixelBytes ? rows[start + x - pixelBytes] : 0;
      const b = y > 0 ? rows[start + x - rowBytes - 1] : 0;
      const c = x >= pixelBytes && y > 0 ? rows[start + x - rowBytes - 1 - pixelBytes] : 0;
      rows[start + x] = data[start + x] + [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter];
    }
  }
  return rows;
}

/** Of the 8-bit pictures that browsers make; others stay as they are. */
export function repack(png) {
  const all = [...chunks(png)];
  const header = all[0][1];
  const [width, height, depth, kind] = [header.readUInt32BE(0), header.readUInt32BE(4), header[8], header[9]];
  const pixelBytes = { 2: 3, 6: 4 }[kind];
  if (depth !== 8 || !pixelBytes) return png;
  const data = inflateSync(Buffer.concat(all.filter(([type]) => type === "IDAT").map(([, part]) => part)));
  const packed = deflateSync(plainRows(data, height, width * pixelBytes, pixelBytes), { level: 9, memLevel: 9 });
  return Buffer.concat([png.subarray(0, SIGNATURE), chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", Buffer.alloc(0))]);
}
