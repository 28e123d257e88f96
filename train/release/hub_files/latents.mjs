// From a seed to the latent of its face, the one that PyTorch draws: latents(7, 128) -> Float32Array of 128.
// The table of seeds 0 to 15 in latents.json is there to test it, or a version of it in another language.

const f = Math.fround; // all arithmetic is in float32
const TWO_PI = f(2 * Math.PI);

/** The 32-bit outputs of the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded by init_genrand. */
function* mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  for (let i = 0; ; i = (i + 1) % 624) {
    const bits = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
    let y = (state[i] = state[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0));
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    yield (y ^ (y >>> 18)) >>> 0;
  }
}

/** 16 uniform numbers from z[start] on become 16 normal ones (Box and Muller 1958), u[i] together with u[i + 8]. */
function boxMuller(z, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = f(Math.sqrt(f(-2 * f(Math.log(f(1 - z[i]))))));
    const angle = f(TWO_PI * z[i + 8]);
    z[i] = radius * f(Math.cos(angle));
    z[i + 8] = radius * f(Math.sin(angle));
  }
}

/**
 * @param {number} seed whole number from 0 to 4294967295
 * @param {number} latentDim length of the latent, at least 16
 * @param {number} truncation 0 to 1.5: the latent is scaled by it
 * @returns {Float32Array} standard normal numbers, those of torch.randn(latentDim) on the CPU
 */
export function latents(seed, latentDim, truncation = 1) {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
    throw new RangeError(`seed: ${seed} is not an integer from 0 to 4294967295`);
  if (!Number.isInteger(latentDim) || latentDim < 16) throw new RangeError(`latentDim: ${latentDim} is not at least 16`);
  if (!(truncation >= 0 && truncation <= 1.5)) throw new RangeError(`truncation: ${truncation} is not from 0 to 1.5`);
  const random = mersenneTwister(seed);
  const uniform = () => (random.next().value & 0xffffff) / 2 ** 24; // the low 24 bits
  const z = Float32Array.from({ length: latentDim }, uniform);
  for (let start = 0; start + 16 <= latentDim; start += 16) boxMuller(z, start);
  if (latentDim % 16) {
    for (let i = latentDim - 16; i < latentDim; i++) z[i] = uniform(); // the last 16 are drawn anew
    boxMuller(z, latentDim - 16);
  }
  return z.map((value) => value * truncation);
}
