/**
 * Affine views of buffers, made the way tensors make them: by chains of movements.
 *
 * A chain is read from the kernel's axes down to the buffer: each movement says how the axes seen so far lie in
 * what is below them. So a view of any shape can be made, and all its accesses are in bounds by construction.
 */
import { type Affine, contiguousStrides, type Guard, sizeOf } from '@clipin/kernel';
import fc from 'fast-check';

/** One movement; `axis` and `amount` are taken modulo what fits. */
export interface Movement {
  readonly kind: 'permute' | 'broadcast' | 'slice' | 'flip' | 'pad' | 'window';
  readonly axis: number;
  readonly amount: number;
}

/** Where a kernel finds the elements of an input. */
export interface View {
  readonly index: Affine;
  readonly guards: readonly Guard[];
  /** Number of elements that the buffer must have. */
  readonly length: number;
}

/** An axis of the layer below: its size, and its index as a function of the kernel's indices. */
interface Axis {
  readonly size: number;
  readonly at: Affine;
}

const scaled = (affine: Affine, factor: number, offset: number): Affine => ({
  offset: affine.offset * factor + offset,
  strides: affine.strides.map((stride) => stride * factor + 0),
});

const plus = (a: Affine, b: Affine): Affine => ({
  offset: a.offset + b.offset,
  strides: a.strides.map((stride, i) => stride + (b.strides[i] as number)),
});

const replace = (axes: readonly Axis[], position: number, ...by: Axis[]): Axis[] => [
  ...axes.slice(0, position),
  ...by,
  ...axes.slice(position + 1),
];

function move(axes: readonly Axis[], guards: Guard[], { kind, axis, amount }: Movement): readonly Axis[] {
  if (axes.length === 0) return axes;
  const position = axis % axes.length;
  const { size, at } = axes[position] as Axis;
  const next = axes[position + 1];
  switch (kind) {
    case 'permute': {
      const other = (position + 1 + amount) % axes.length;
      return replace(replace(axes, position, axes[other] as Axis), other, { size, at });
    }
    case 'broadcast':
      return replace(axes, position);
    case 'slice': {
      const [start, step, rest] = [amount % 4, 1 + (amount % 3), amount % 2];
      const below = start + (size === 0 ? 0 : (size - 1) * step + 1) + rest;
      return replace(axes, position, { size: below, at: scaled(at, step, start) });
    }
    case 'flip':
      return replace(axes, position, { size, at: scaled(at, -1, size - 1) });
    case 'pad': {
      const [before, after] = [amount % 3, (amount >> 2) % 3];
      if (before + after > size) return axes;
      const inner = { size: size - before - after, at: scaled(at, 1, -before) };
      guards.push({ value: inner.at, size: inner.size });
      return replace(axes, position, inner);
    }
    case 'window': {
      if (!next || size === 0 || next.size === 0) return axes;
      const step = 1 + (amount % 3);
      const merged = { size: (size - 1) * step + next.size, at: plus(scaled(at, step, 0), next.at) };
      return replace(replace(axes, position + 1), position, merged);
    }
  }
}

/** The view of a contiguous buffer that these movements give a kernel over `shape`. */
export function viewOf(shape: readonly number[], movements: readonly Movement[]): View {
  const guards: Guard[] = [];
  let axes: readonly Axis[] = shape.map((size, axis) => ({
    size,
    at: { offset: 0, strides: shape.map((_, other) => (other === axis ? 1 : 0)) },
  }));
  for (const movement of movements) axes = move(axes, guards, movement);
  const below = axes.map(({ size }) => size);
  const strides = contiguousStrides(below);
  const start: Affine = { offset: 0, strides: shape.map(() => 0) };
  const index = axes.reduce((sum, { at }, axis) => plus(sum, scaled(at, strides[axis] as number, 0)), start);
  return { index, guards, length: sizeOf(below) };
}

const chain = (kinds: readonly Movement['kind'][], maxLength: number): fc.Arbitrary<Movement[]> =>
  fc.array(fc.record({ kind: fc.constantFrom(...kinds), axis: fc.nat(7), amount: fc.nat(11) }), {
    maxLength,
  });

/** Any chain of movements. */
export const movements = chain(['permute', 'broadcast', 'slice', 'flip', 'pad', 'window'], 4);

/** Chains that need no guards: what operands of matrix products and attention can be. */
export const unguardedMovements = chain(['permute', 'broadcast', 'slice', 'flip'], 3);

/** Shapes whose sizes are around those at which vectors, tiles and loops begin and end, of at most `most` elements. */
export function shapes(maxRank: number, most: number): fc.Arbitrary<number[]> {
  const size = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 64, 65) },
    { weight: 1, arbitrary: fc.constant(0) },
  );
  return fc.array(size, { maxLength: maxRank }).map((sizes) => {
    let total = 1;
    return sizes.map((wanted) => {
      const fitting = total * wanted > most ? 1 + (wanted % 2) : wanted;
      total *= Math.max(1, fitting);
      return fitting;
    });
  });
}
