/** Checks of options and inputs, with errors that name the layer. */
import type { DType, Tensor } from '@clipin/tensor';

/** @throws RangeError unless all sizes are whole numbers of at least 1 */
export function checkSizes(layer: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(`${layer}: ${name} is ${size}; wants a whole number of at least 1`);
    }
  }
}

/** @throws RangeError unless `parts` divides `whole` */
export function checkDivides(layer: string, [wholeName, whole]: Named, [partsName, parts]: Named): void {
  if (whole % parts !== 0) {
    throw new RangeError(`${layer}: ${partsName} ${parts} does not divide ${wholeName} ${whole}`);
  }
}

type Named = readonly [name: string, size: number];

/** @throws RangeError unless the last axes of `x` are `wanted`, where a string stands for any size; f16 passes for f32 */
export function checkInput(
  layer: string,
  x: Tensor,
  wanted: readonly (number | string)[],
  dtypes: readonly DType[] = ['f32'],
): void {
  const open = wanted[0] === '...';
  const sizes = open ? wanted.slice(1) : wanted;
  const last = x.shape.slice(x.rank - sizes.length);
  const fits =
    (open ? x.rank >= sizes.length : x.rank === sizes.length) &&
    sizes.every((size, i) => typeof size === 'string' || size === last[i]) &&
    (dtypes.includes(x.dtype) || (x.dtype === 'f16' && dtypes.includes('f32')));
  if (!fits) {
    throw new RangeError(
      `${layer}: the input is ${String(x)}; wants ${dtypes.join(' or ')}[${wanted.join(', ')}]`,
    );
  }
}
