/** The synthetic data: the same numbers for every library, in every run. */
import type { Ids, Values } from './library';

/** Numbers between `-scale` and `scale` from a linear congruential generator (Numerical Recipes' constants). */
export function uniform(seed: number, shape: readonly number[], scale = 1): Values {
  let state = seed >>> 0;
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = scale * (state / 2 ** 31 - 1);
  }
  return { shape, data };
}

/** Rows with a single one in a place that is drawn: `[rows, classes]`. */
export function oneHot(seed: number, rows: number, classes: number): Values {
  const data = new Float32Array(rows * classes);
  for (const [row, draw] of uniform(seed, [rows]).data.entries()) {
    data[row * classes + Math.min(classes - 1, Math.floor(((draw + 1) / 2) * classes))] = 1;
  }
  return { shape: [rows, classes], data };
}

/** Every number the same. */
export const constant = (shape: readonly number[], value: number): Values => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
});

/** Whole numbers from 0 up to, not including, `limit`. */
export function ids(seed: number, shape: readonly number[], limit: number): Ids {
  const draws = uniform(seed, shape).data;
  return {
    shape,
    data: Int32Array.from(draws, (draw) => Math.min(limit - 1, Math.floor(((draw + 1) / 2) * limit))),
  };
}
