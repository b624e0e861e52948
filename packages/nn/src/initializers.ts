/** First values of parameters: functions of a random key and a shape. Weights are `[inputs, outputs]`. */
import { type Key, normal, type Shape, type Tensor, tensor, uniform } from '@clipin/tensor';

/** First values of a parameter of this shape. */
export type Initializer = (key: Key, shape: Shape) => Tensor;

/** Normal with mean 0 and this standard deviation. */
export const scaledNormal =
  (deviation: number): Initializer =>
  (key, shape) =>
    normal(key, shape).mul(deviation);

/** Inputs and outputs of a weight: its last axis is the outputs, all before it are the inputs. */
function fans(initializer: string, shape: Shape): { inputs: number; outputs: number } {
  const outputs = shape.at(-1);
  if (shape.length < 2 || outputs === undefined) {
    throw new RangeError(`${initializer}: shape [${shape.join(', ')}]; wants [inputs, outputs]`);
  }
  return { inputs: shape.slice(0, -1).reduce((product, n) => product * n, 1), outputs };
}

/** Normal with variance 1/inputs (LeCun et al. 1998), so that outputs have the variance of the inputs. */
export const lecunNormal: Initializer = (key, shape) =>
  scaledNormal(fans('lecunNormal', shape).inputs ** -0.5)(key, shape);

/** Normal with variance 2/inputs (He et al. 2015), for relu and its kin. */
export const heNormal: Initializer = (key, shape) =>
  scaledNormal((2 / fans('heNormal', shape).inputs) ** 0.5)(key, shape);

/** Uniform in ±√(6/(inputs + outputs)) (Glorot and Bengio 2010, eq. 16). */
export const xavierUniform: Initializer = (key, shape) => {
  const { inputs, outputs } = fans('xavierUniform', shape);
  return uniform(key, shape)
    .sub(0.5)
    .mul(2 * Math.sqrt(6 / (inputs + outputs)));
};

/**
 * Sines and cosines of a patch's column and row, for positions `[tokens, width]` of a square grid (as Chen et al. 2021
 * do in MoCo v3). One token more than a square is a class token before the patches, which gets zeros. The key is not used.
 *
 * @param amplitude - of each wave. Default: 1
 * @throws RangeError when the tokens are no square grid, or the width is no multiple of 4
 */
export const sinCosPositions =
  (amplitude = 1): Initializer =>
  (key, shape) => {
    const [tokens = 0, width = 0] = shape;
    const patches = [tokens, tokens - 1].find((n) => n > 0 && Number.isInteger(Math.sqrt(n)));
    if (shape.length !== 2 || patches === undefined || width % 4 !== 0) {
      throw new RangeError(
        `sinCosPositions: shape [${shape.join(', ')}]; wants [tokens, width] with a square number of tokens ` +
          '(or one more, for a class token) and a width divisible by 4',
      );
    }
    const side = Math.sqrt(patches);
    const table = new Float64Array(tokens * width);
    for (let patch = 0; patch < patches; patch++) {
      const waves = wavesOf(patch % side, Math.floor(patch / side), width / 4);
      table.set(
        waves.map((wave) => amplitude * wave),
        (tokens - patches + patch) * width,
      );
    }
    return tensor(table, shape, { dtype: 'f32', device: key.device });
  };

/** sin and cos of the column, then of the row, at `count` frequencies from 1 down towards 1/10000. */
function wavesOf(column: number, row: number, count: number): number[] {
  const frequencies = Array.from({ length: count }, (_, i) => 10000 ** (-i / count));
  return [column, row].flatMap((place) => [
    ...frequencies.map((frequency) => Math.sin(place * frequency)),
    ...frequencies.map((frequency) => Math.cos(place * frequency)),
  ]);
}
