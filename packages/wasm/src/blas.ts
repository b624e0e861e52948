/**
 * What a matrix product needs to know of BLAS: the function that generated code calls, which operands it can take, and
 * how a product is cut into calls. The library itself is found in `system-blas.ts`.
 */
import { sizeOf } from '@clipin/kernel';
import type { SimpleMatmul } from './nest';

/** `C = op(A) · op(B)`, all row after row: what generated code imports. Addresses are those of the device's memory. */
export type Sgemm = (
  transposeA: number,
  transposeB: number,
  m: number,
  n: number,
  k: number,
  a: number,
  leadingA: number,
  b: number,
  leadingB: number,
  c: number,
  leadingC: number,
) => void;

/** Numbers that CBLAS has for the order and for the transposes. */
export const cblas = { rowMajor: 101, plain: 111, transposed: 112 } as const;

/** A matrix as BLAS describes it. */
export interface BlasMatrix {
  readonly transpose: number;
  /** Elements from one row to the next, or from one column to the next where it is transposed. */
  readonly leading: number;
}

/** Of an operand of halves, how a block of it is widened to where BLAS reads it: line by line of what is contiguous. */
export interface WidenedBlock {
  /** Elements from one line to the next, there. */
  readonly leading: number;
  /** Bytes of the whole. */
  readonly bytes: number;
}

/** A matrix of these strides as BLAS describes it; `undefined` where neither its rows nor its columns are contiguous. */
export function blasMatrix(
  rows: number,
  columns: number,
  rowStride: number,
  columnStride: number,
): BlasMatrix | undefined {
  if ((columns === 1 || columnStride === 1) && (rows === 1 || rowStride >= columns))
    return { transpose: cblas.plain, leading: rows === 1 ? columns : rowStride };
  if ((rows === 1 || rowStride === 1) && (columns === 1 || columnStride >= rows))
    return { transpose: cblas.transposed, leading: columns === 1 ? rows : columnStride };
  return undefined;
}

/** A product as calls of BLAS: one for each block of the result. */
export interface BlasPlan {
  readonly a: BlasMatrix;
  readonly b: BlasMatrix;
  /** Rows and columns of a block. */
  readonly rows: number;
  readonly columns: number;
  /** Room for what has to be widened first. */
  readonly wideA?: WidenedBlock;
  readonly wideB?: WidenedBlock;
}

/** Nanoseconds of one multiply-add, of a call, and of widening a half. */
export const blasCost = { flop: 0.017, call: 200, half: 0.5 } as const;

/** Fewer rows than this read widened weights too seldom for BLAS to gain, and */
const fewRowsOfHalves = 24;
/** more bytes of them would crowd out what else a thread has in its caches. */
const mostWidened = 2 ** 24;

/** Multiply-adds below which a call costs more than it saves; */
const leastWork = 40_000;
/** so few rows, or results, are no work for BLAS however long the sums. */
const fewRows = 4;
const fewResults = 128;
/** Most rows or columns of a block. */
const mostSide = 512;
/** Most elements of an operand that is computed for a block. */
const mostComputed = 2 ** 20;
/** No block is cut that has no more rows or columns than this, */
const enoughSide = 64;
/** or no more multiply-adds. */
const leastBlock = 2 ** 19;
/** Rows and columns come in multiples of this, the last ones aside. */
const registerSide = 16;

/**
 * How a product is given to BLAS, or `undefined` where our own code is to be preferred or BLAS cannot take it. Depends on the
 * kernel, and on the machine by `blocks`, but not on the number of threads: the same cut, so the same bits.
 *
 * @param blocks - wanted for the machine: two for each of its cores
 */
export function blasPlan(kernel: SimpleMatmul, blocks: number): BlasPlan | undefined {
  const { batch, m, n, k } = kernel;
  if (m <= fewRows || m * n < fewResults || m * n * k < leastWork) return undefined;
  const rank = batch.length;
  const [aRow = 0, aStep = 0] = kernel.a.strides.slice(rank);
  const [bStep = 0, bColumn = 0] = kernel.b.strides.slice(rank);
  const sides = sidesOf(kernel);
  if (Math.min(sides.rows, sides.columns) < registerSide) return undefined;
  const a = blasMatrix(m, k, aRow, aStep);
  const b = blasMatrix(k, n, bStep, bColumn);
  if (!a || !b) return undefined;
  const blocksOfSize = cut(m, n, k, blocks / sizeOf(batch), sides);
  return withHalves(kernel, { a, b, ...blocksOfSize });
}

const wholeVectors = (elements: number): number => Math.ceil(elements / 4) * 4;

/** The plan with room for operands of halves, which are widened block by block: BLAS knows only f32. */
function withHalves({ m, n, k, aHalf, bHalf }: SimpleMatmul, plan: BlasPlan): BlasPlan | undefined {
  if (!aHalf && !bHalf) return plan;
  const room = ({ transpose }: BlasMatrix, rows: number, columns: number): WidenedBlock => {
    const [lines, length] = transpose === cblas.plain ? [rows, columns] : [columns, rows];
    const leading = wholeVectors(length);
    return { leading, bytes: 4 * lines * leading };
  };
  const wideA = room(plan.a, Math.min(plan.rows, m), k);
  const wideB = room(plan.b, k, Math.min(plan.columns, n));
  const fits = (aHalf ? wideA.bytes : 0) + (bHalf ? wideB.bytes : 0) <= mostWidened;
  if (m < fewRowsOfHalves || !fits) return undefined;
  return { ...plan, ...(aHalf && { wideA }), ...(bHalf && { wideB }) };
}

/** Rows and columns. */
interface Sides {
  readonly rows: number;
  readonly columns: number;
}

/** The most of a block: fewer where an operand is computed for it, with all its k, in the thread's memory. */
function sidesOf({ k, produced }: SimpleMatmul): Sides {
  const side = (program: unknown) => (program ? Math.min(mostSide, Math.floor(mostComputed / k)) : mostSide);
  return { rows: side(produced.a), columns: side(produced.b) };
}

/** Blocks of even size: as few as there may be, since each call packs its operands anew. */
function cut(m: number, n: number, k: number, blocks: number, most: Sides): Sides {
  let rows = evenPart(m, most.rows);
  let columns = evenPart(n, most.columns);
  while (
    Math.ceil(m / rows) * Math.ceil(n / columns) < blocks &&
    Math.max(rows, columns) > enoughSide &&
    rows * columns * k > leastBlock
  ) {
    if (rows > columns) rows = evenPart(m, rows / 2);
    else columns = evenPart(n, columns / 2);
  }
  return { rows, columns };
}

/** The size of equal parts of at most `most`, rounded up to what BLAS computes at once. */
const evenPart = (size: number, most: number): number => {
  const part = size / Math.ceil(size / most);
  return Math.min(size, Math.ceil(part / registerSide) * registerSide);
};
