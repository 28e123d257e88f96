// A face for every name, drawn in the browser or in Node; an ES module that needs no build step.
//
//   import { face } from "./faces.js";
//   document.body.append(await face("alice", { size: 256 }));
//
// Seeds and names are those of Python: seedOf("alice") is the same number, pixels("alice") the same face within 1 of
// 255. latents.mjs and the model, model_fp16.onnx, lie beside this file. onnxruntime-web comes from npm ("npm install
// onnxruntime-web" in Node and for bundlers, or an import map); a page that has none gets it from cdn.jsdelivr.net. Say
// where else both are: const { face } = faces({ model: "/m/model.onnx", runtime: "/ort/ort.wasm.bundle.min.mjs" });

import { latents } from "./latents.mjs";

const RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/ort.wasm.bundle.min.mjs";
const MAX_SEED = 0xffffffff, MAX_SIDE = 2048;

/** The first n prime numbers. */
function primes(n) {
  const found = [];
  for (let i = 2; found.length < n; i++) if (found.every((prime) => i % prime)) found.push(i);
  return found;
}

const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
const ROOTS = primes(64).map((prime) => fraction(Math.cbrt(prime)));
const START = primes(8).map((prime) => fraction(Math.sqrt(prime)));

/** The first 32 bits of SHA-256 (FIPS 180-4). Not crypto.subtle's, which pages without https lack. */
function sha256Head(bytes) {
  const length = (bytes.length + 72) & ~63; // with a bit, padding and the length: whole blocks of 64
  const data = new DataView(new ArrayBuffer(length));
  bytes.forEach((byte, i) => data.setUint8(i, byte));
  data.setUint8(bytes.length, 0x80);
  data.setUint32(length - 8, Math.floor(bytes.length / 2 ** 29));
  data.setUint32(length - 4, bytes.length << 3);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const hash = Uint32Array.from(START), w = new Uint32Array(64);
  for (let block = 0; block < length; block += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) w[i] = data.getUint32(block + 4 * i);
      else {
        const [x, y] = [w[i - 15], w[i - 2]];
        w[i] = w[i - 16] + w[i - 7] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
      }
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROOTS[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => (hash[i] += value));
  }
  return hash[0];
}

/**
 * The seed of a name: surrounding spaces do not count, case does; the digits 0 to 9 alone are that seed, anything else
 * is a name, whose seed is the first 32 bits of the SHA-256 of its NFC form in UTF-8.
 * @param {string|number} name
 * @returns {number} 0 to 4294967295
 */
export function seedOf(name) {
  const text = String(name).normalize("NFC").replace(/^\p{White_Space}+|\p{White_Space}+$/gu, "");
  const isSeed = Number.isInteger(name) && name >= 0 && name <= MAX_SEED;
  const valid = typeof name === "number" ? isSeed : typeof name === "string" && text;
  if (!valid)
    throw new RangeError(`name: '${text.slice(0, 40)}' is neither a name nor an integer from 0 to ${MAX_SEED}`);
  if (/^[0-9]+$/.test(text)) {
    const seed = Number(text);
    if (seed > MAX_SEED) throw new RangeError(`seed: ${text.slice(0, 40)} is not an integer from 0 to ${MAX_SEED}`);
    return seed;
  }
  if (/\p{Surrogate}/u.test(text)) throw new RangeError("name: it holds half of a character (a lone surrogate)");
  return sha256Head(new TextEncoder().encode(text));
}

async function loadRuntime(address) {
  if (address) return import(new URL(address, globalThis.location?.href ?? import.meta.url).href);
  try {
    return await import("onnxruntime-web");
  } catch (error) {
    if (globalThis.document === undefined) throw error; // in Node the package is missing
    return import(RUNTIME);
  }
}

async function read(address) {
  const url = new URL(address, globalThis.location?.href ?? import.meta.url);
  if (url.protocol === "file:") return (await import("node:fs/promises")).readFile(url); // fetch reads no files
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: the server answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/**
 * From one latent to another along the great circle (Shoemake 1985), while the length goes linearly.
 * @param {Float32Array} z0 as latent() gives them
 * @param {Float32Array} z1
 * @param {number} t 0 to 1
 */
export function slerp(z0, z1, t) {
  const norm0 = Math.hypot(...z0), norm1 = Math.hypot(...z1);
  const cosine = z0.reduce((sum, value, i) => sum + value * z1[i], 0) / (norm0 * norm1 || 1);
  const omega = Math.acos(Math.min(1, Math.max(-1, cosine))), sine = Math.sin(omega);
  if (!(sine > 1e-4)) return z0.map((value, i) => (1 - t) * value + t * z1[i]);
  const a = Math.sin((1 - t) * omega) / sine / norm0, b = Math.sin(t * omega) / sine / norm1;
  return z0.map((value, i) => (a * value + b * z1[i]) * ((1 - t) * norm0 + t * norm1));
}

/**
 * Faces of a model of your own choice.
 * @param {{model?: string|URL, runtime?: string|URL, worker?: boolean}} where the ONNX file and onnxruntime-web lie,
 *   and whether a worker draws, which keeps a busy page answering
 */
export function faces({ model = new URL("./model_fp16.onnx", import.meta.url), runtime, worker = false } = {}) {
  let opened, last = Promise.resolve();

  async function open() {
    const [ort, file] = await Promise.all([loadRuntime(runtime), read(model)]);
    if (worker) ort.env.wasm.proxy = true;
    ort.env.wasm.numThreads = 1; // a face is small, and pages seldom may use threads
    return [ort, await ort.InferenceSession.create(file)];
  }

  async function ready() {
    opened ??= open().catch((error) => {
      opened = undefined; // the next call tries again
      throw error;
    });
    const [ort, session] = await opened;
    return [ort, session, session.inputMetadata[0].shape[1]];
  }

  /**
   * The latent of a face: what lies between two of them, by slerp(), is a face too.
   * @param {string|number} name text or seed
   * @returns {Promise<Float32Array>}
   */
  async function latent(name) {
    const seed = seedOf(name), [, , size] = await ready();
    return latents(seed, size);
  }

  async function run(z, truncation) {
    const [ort, session, size] = await ready();
    if (z.length !== size || !z.every(Number.isFinite))
      throw new RangeError(`latent: it is not ${size} finite numbers, as latent() gives them`);
    const scaled = z.map((value) => value * truncation);
    return (await session.run({ z: new ort.Tensor("float32", scaled, [1, size]) })).images;
  }

  /**
   * The pixels of a face, as the model draws it; in Node too.
   * @param {string|number|Float32Array} name text, seed or latent
   * @param {{truncation?: number}} options 0 (pale) to 1.5 (wild)
   * @returns {Promise<{data: Uint8ClampedArray, width: number, height: number}>} RGBA, row by row
   */
  async function pixels(name, { truncation = 1 } = {}) {
    if (!(truncation >= 0 && truncation <= 1.5)) throw new RangeError(`truncation: ${truncation} is not from 0 to 1.5`);
    const z = name instanceof Float32Array ? name : await latent(name);
    const turn = last.then(() => run(z, truncation)); // one after the other
    last = turn.catch(() => {});
    const { data: images, dims: [, channels, height, width] } = await turn; // first all of red, then green, then blue
    const data = new Uint8ClampedArray(4 * width * height).fill(255), plane = width * height;
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++) data[4 * i + c] = images[(c % channels) * plane + i] * 127.5 + 127.5;
    return { data, width, height };
  }

  /**
   * A face as a canvas or, with as: "blob", a PNG file.
   * @param {string|number|Float32Array} name text, seed or latent
   * @param {{size?: number, style?: "smooth"|"crisp", truncation?: number, as?: "canvas"|"blob"}} options
   * @returns {Promise<HTMLCanvasElement|Blob>} square, of `size` pixels a side, by default those of the model
   */
  async function face(name, { size, style = "smooth", truncation = 1, as = "canvas" } = {}) {
    if (size !== undefined && !(Number.isInteger(size) && size >= 1 && size <= MAX_SIDE))
      throw new RangeError(`size: ${size} is not an integer from 1 to ${MAX_SIDE}`);
    if (!["smooth", "crisp"].includes(style)) throw new RangeError(`style: '${style}' is not smooth or crisp`);
    if (!["canvas", "blob"].includes(as)) throw new RangeError(`as: '${as}' is not canvas or blob`);
    if (globalThis.document === undefined) throw new Error("face: there is no canvas here; pixels() gives the numbers");
    const { data, width, height } = await pixels(name, { truncation });
    const small = canvasOf(width, height), canvas = size && size !== width ? canvasOf(size, size) : small;
    small.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    if (canvas !== small) {
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = style === "smooth";
      context.imageSmoothingQuality = "high";
      context.drawImage(small, 0, 0, size, size);
    }
    if (as === "canvas") return canvas;
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    if (!blob) throw new Error("face: the browser could not make a PNG file");
    return blob;
  }

  return { face, latent, pixels };
}

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

export const { face, latent, pixels } = faces();
