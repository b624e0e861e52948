/** Whole towers, in float64 and in f32 on wasm, against PyTorch in float64; `fixtures/towers.py` made the numbers. */
import {
  type Device,
  destroyDevice,
  init,
  leaves,
  randomKey,
  type Shape,
  type Tensor,
  tensor,
  withLeaves,
} from '@clipin/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import expected from './fixtures/towers.json';
import { quickGelu, textTransformer, visionTransformer } from './index';

const devices = {
  reference: { start: () => init({ device: 'reference' }), digits: 12 },
  wasm: { start: () => init({ device: 'wasm', threads: 1 }), digits: 5 },
};

const filled = (shape: Shape, value: (i: number) => number) => {
  const size = shape.reduce((product, n) => product * n, 1);
  return tensor(
    Float64Array.from({ length: size }, (_, i) => value(i)),
    shape,
    { dtype: 'f32' },
  );
};

/** The parameters of the fixture: number `k` has elements `0.4 sin(1 + 0.7 i + 1.3 k)`. */
const waves = <Params>(params: Params): Params =>
  withLeaves(
    params,
    leaves(params).map(({ tensor: { shape } }, k) =>
      filled(shape, (i) => 0.4 * Math.sin(1 + 0.7 * i + 1.3 * k)),
    ),
  );

const size = { width: 8, depth: 2, heads: 2, outputs: 5 };

describe.each(Object.entries(devices))('%s agrees with PyTorch:', (_, { start, digits }) => {
  let device: Device;
  beforeAll(async () => {
    device = await start();
  });
  afterAll(() => destroyDevice(device));

  async function expectClose(actual: Tensor, wanted: readonly number[]) {
    const got = await actual.data();
    expect(got).toHaveLength(wanted.length);
    wanted.forEach((value, i) => {
      expect(got[i]).toBeCloseTo(value, digits);
    });
  }

  it('image tower', async () => {
    const tower = visionTransformer({ ...size, imageSize: 8, patchSize: 4, activation: quickGelu });
    const images = filled([2, 8, 8, 3], (i) => Math.sin(0.37 * i));
    await expectClose(tower.apply(waves(tower.init(randomKey(0))), images), expected.image);
  });

  const ids = () => tensor(Int32Array.of(18, 3, 4, 19, 0, 0, 18, 7, 1, 5, 2, 19), [2, 6]);
  const text = { ...size, vocabulary: 20, contextLength: 7 };

  it('text tower with absolute positions', async () => {
    const tower = textTransformer({ ...text, activation: quickGelu });
    await expectClose(tower.apply(waves(tower.init(randomKey(0))), ids()), expected.absolute);
  });

  it('text tower with rotary positions', async () => {
    const tower = textTransformer({ ...text, positions: 'rotary' });
    await expectClose(tower.apply(waves(tower.init(randomKey(0))), ids()), expected.rotary);
  });
});
