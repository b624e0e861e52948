/**
 * A matrix product by our own tiles: how it is cut into blocks of rows and columns and into segments of k, and the code
 * of one block. The cut depends on the kernel alone, so that the bits do not depend on the threads.
 */
import { type Affine, sizeOf } from '@clipin/kernel';
import { type Code, call, doWhile, i32, ifElse, op, plus, times } from './code';
import { elementAddress, type Frame } from './frame';
import { type GemmLayout, gemmFunction, type PanelCopy, panelColumns, panelStep, tileRows } from './gemm';
import { halfBytes } from './half';
import type { Target } from './math';
import type { Local, ModuleBuilder } from './module';
import type { SimpleMatmul } from './nest';
import { packFunction, touchFunction } from './pack';
import { mostProduced, producedCycles } from './produce';

/** Nanoseconds of one multiply-add. */
export const multiplyAddCost = 0.035;

/** Steps of k in a block: a panel of B stays in the first cache, a block of A in the second. */
const mostSteps = 384;
/** Fewer where rows of B lie so that they claim the same few lines of the caches. */
const mostCrowdedSteps = 192;
/** Rows of a block, and sums of one. */
const mostRows = 192;
const mostSums = 48 * 1024;
/** As many items as keep several threads busy to the end, if each has at least so many multiply-adds. */
const enoughItems = 16;
const leastWork = 2 ** 17;
/** Least steps of k in a segment. */
const leastSegment = 256;

/** Matrices of at most this many elements stay in the first cache and need no copy. */
const smallMatrix = 8192;

/** Matrices of at most this many elements are taken to be in the second cache. */
const nearMatrix = 65536;

/** Strides of which every element would claim the same few lines of the caches. */
const crowds = (stride: number): boolean => Math.abs(stride) % 256 === 0;

/** A cut of the result and of k. */
export interface Cut {
  /** Rows and columns of a block. */
  readonly rows: number;
  readonly columns: number;
  /** Segments of k whose sums are added up afterwards, and steps of one. */
  readonly segments: number;
  readonly segment: number;
}

/** How operands are read. */
interface Operands {
  readonly aPacked: boolean;
  readonly copy: PanelCopy;
}

export interface TilePlan extends Cut, Operands {
  /** Steps of k between two visits of the sums. */
  readonly steps: number;
  readonly aBytes: number;
}

/** Strides of both operands, those of axes of one element set to what is simplest. */
function stridesOf({ batch, m, n, k, a, b }: SimpleMatmul) {
  const rank = batch.length;
  const of = ({ strides }: Affine, axis: number, size: number, otherwise: number) =>
    size === 1 ? otherwise : (strides[rank + axis] as number);
  return { aRow: of(a, 0, m, 0), aStep: of(a, 1, k, 1), bStep: of(b, 0, k, 1), bColumn: of(b, 1, n, 1) };
}

/** Whether operands are copied, for blocks of these sizes. */
function operandsOf(kernel: SimpleMatmul, cut: Cut, target: Target): Operands {
  const { m, n, k, aHalf, bHalf } = kernel;
  const { aRow, aStep, bStep, bColumn } = stridesOf(kernel);
  const aSmall = aRow === 1 && m * k <= nearMatrix && !crowds(aStep);
  // Halves are widened as they are packed.
  const aPacked = aHalf || aRow < 0 || !(aStep === 1 || aRow === 0 || n <= 2 * panelColumns || aSmall);
  if (bHalf || bColumn !== 1) {
    const lastColumns = n % panelColumns || panelColumns;
    const pack = { width: panelColumns, across: bColumn, along: bStep, half: bHalf };
    return { aPacked, copy: { pack, lastColumns } };
  }
  const bSmall = k * n <= smallMatrix && !crowds(bStep);
  return { aPacked, copy: bSmall || cut.rows <= tileRows(target) ? 'none' : 'whileReading' };
}

/** Cycles that a cut costs beside the multiply-adds, roughly, and the cycles of those. */
function cyclesOf(kernel: SimpleMatmul, cut: Cut, target: Target): number {
  const { m, n, k } = kernel;
  const { aPacked, copy } = operandsOf(kernel, cut, target);
  const rowBlocks = Math.ceil(m / cut.rows);
  const columnBlocks = Math.ceil(n / cut.columns);
  const a = m * k * columnBlocks * (aPacked ? 0.5 : 0.05);
  const b = n * k * rowBlocks * (typeof copy === 'object' ? 0.4 : 0.1);
  const computed =
    m * k * columnBlocks * producedCycles(kernel.produced.a) +
    n * k * rowBlocks * producedCycles(kernel.produced.b);
  const sums = m * n * (0.5 * Math.ceil(k / mostSteps) + (cut.segments > 1 ? 1.5 * cut.segments : 0));
  return (m * n * k) / 8 + a + b + computed + sums;
}

/** Parts of `size` in whole units that are as equal as can be, by how many of them. */
function* partsOf(size: number, unit: number, most: number): Generator<number> {
  const units = Math.max(1, Math.ceil(size / unit));
  const fewest = Math.ceil(units / Math.max(1, Math.floor(most / unit)));
  let last = 0;
  for (let count = fewest; count <= Math.min(units, fewest + 31); count++) {
    const part = Math.ceil(units / count) * unit;
    if (part !== last) yield part;
    last = part;
  }
}

/** The cut that is expected to cost least, with items for several threads. */
function cutOf(kernel: SimpleMatmul, target: Target): Cut {
  const { batch, m, n, k, produced } = kernel;
  const room = (program: unknown) => (program ? mostProduced / k : Infinity);
  const whole = { rows: m, columns: n, segments: 1, segment: k };
  const work = produced.a || produced.b ? 8 * cyclesOf(kernel, whole, target) : m * n * k;
  const wanted = Math.min(enoughItems, Math.ceil((sizeOf(batch) * work) / leastWork));
  let best: Cut | undefined;
  let least = Infinity;
  for (const rows of partsOf(m, tileRows(target), Math.min(mostRows, room(produced.a)))) {
    for (const columns of partsOf(n, panelColumns, Math.min(mostSums / rows, room(produced.b)))) {
      const blocks = sizeOf(batch) * Math.ceil(m / rows) * Math.ceil(n / columns);
      for (
        let segments = 1;
        segments === 1 || (k >= segments * leastSegment && segments <= enoughItems);
        segments++
      ) {
        const segment = Math.max(1, Math.ceil(k / segments));
        const cut = { rows, columns, segments: Math.max(1, Math.ceil(k / segment)), segment };
        const idle = Math.max(1, wanted / (blocks * segments));
        const cycles = cyclesOf(kernel, cut, target) * idle;
        if (cycles < least) [best, least] = [cut, cycles];
      }
    }
  }
  if (!best) throw new RangeError(`matmul: no cut of ${m} × ${n} over ${k}`);
  return best;
}

/** How a product is computed. */
export function planOf(kernel: SimpleMatmul, target: Target): TilePlan {
  const cut = cutOf(kernel, target);
  const operands = operandsOf(kernel, cut, target);
  const { bStep } = stridesOf(kernel);
  const most = operands.copy === 'whileReading' && crowds(bStep) ? mostCrowdedSteps : mostSteps;
  const steps = Math.max(1, Math.ceil(cut.segment / Math.ceil(cut.segment / most)));
  return { ...cut, ...operands, steps, aBytes: operands.aPacked ? 4 * cut.rows * steps : 0 };
}

/** Bytes of a thread's memory that `tileProduct` wants. */
export const tileBytes = ({ aBytes, copy, steps }: TilePlan): number =>
  aBytes + (copy === 'none' ? 0 : panelStep * steps);

/** The block that is being computed. */
export interface Block {
  /** Indices of the batch element. */
  readonly outer: readonly Code[];
  readonly row: Code;
  readonly rows: Code;
  readonly column: Code;
  readonly columns: Code;
  /** Number of the segment of k. */
  readonly segment: Code;
  /** Address of the block's sums. */
  readonly to: Code;
}

/** Code that computes one block into rows of sums that lie `cRow` bytes apart. `own` is an address of `tileBytes`. */
export function tileProduct(
  frame: Frame,
  module: ModuleBuilder,
  kernel: SimpleMatmul,
  plan: TilePlan,
  inputs: { readonly a: Local; readonly b: Local },
  own: Code,
  cRow: number,
  target: Target,
): (block: Block) => Code {
  const { f } = frame;
  const { m, n, k, a, b } = kernel;
  const bytesIf = (half: boolean): number => (half ? halfBytes : 4);
  const [aBytes, bBytes] = [bytesIf(kernel.aHalf), bytesIf(kernel.bHalf)];
  const { aPacked, steps: most } = plan;
  const { aRow, aStep, bStep, bColumn } = stridesOf(kernel);
  const height = tileRows(target);
  const tail = m % height;
  const layout: GemmLayout = {
    aRow: aPacked ? 4 : 4 * aRow,
    aStep: aPacked ? 4 * height : 4 * aStep,
    aTile: aPacked ? 4 * height * most : 4 * aRow * height,
    bStep: bBytes * bStep,
    bPanel: bBytes * bColumn * panelColumns,
    copy:
      typeof plan.copy === 'object'
        ? { ...plan.copy, pack: { ...plan.copy.pack, across: bColumn, along: bStep } }
        : plan.copy,
    cRow,
    tails: [tail],
  };
  const gemm = gemmFunction(module, target, layout);
  const pack = { width: height, across: aRow, along: aStep, half: kernel.aHalf };
  const [aAt, bAt, from, to, left, step, end, steps] = Array.from({ length: 8 }, () => f.local('i32')) as [
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  /** Reads a block of a large operand, of which much is to be made, once in the order it lies in. */
  const bringNear = (
    size: number,
    start: Code,
    across: Code,
    acrossStride: number,
    along: Code,
    alongStride: number,
    bytes: number,
  ): Code => {
    if (size <= nearMatrix) return [];
    const touch = (count: Code, length: Code, stride: number): Code =>
      call(touchFunction(module), start, count, times(length, bytes), i32(bytes * stride));
    if (alongStride === 1) return touch(across, along, acrossStride);
    return acrossStride === 1 ? touch(along, across, alongStride) : [];
  };
  const packRows = (rows: Code): Code => {
    const run = (count: number): Code => call(packFunction(module, pack, count), from.get, to.get, steps.get);
    const whole = op('i32.ge_s', left.get, i32(height));
    const next = [from.add(aBytes * height * aRow), to.add(layout.aTile), left.add(-height)];
    return [
      from.set(aAt.get),
      to.set(own),
      left.set(rows),
      m < height ? [] : ifElse(whole, doWhile([run(height), next], whole)),
      tail === 0 ? [] : ifElse(left.get, run(tail)),
    ];
  };
  return ({ outer, row, rows, column, columns, segment, to: sums }) => [
    step.set(times(segment, plan.segment)),
    aAt.set(elementAddress(inputs.a.get, [...outer, row, step.get], a.strides, a.offset, aBytes)),
    bAt.set(elementAddress(inputs.b.get, [...outer, step.get, column], b.strides, b.offset, bBytes)),
    end.set(plus(step.get, plan.segment)),
    ifElse(op('i32.gt_s', end.get, i32(k)), end.set(i32(k))),
    f.count(step, end.get, most, [
      steps.set(op('i32.sub', end.get, step.get)),
      ifElse(op('i32.gt_s', steps.get, i32(most)), steps.set(i32(most))),
      plan.columns > panelColumns ? bringNear(m * k, aAt.get, rows, aRow, steps.get, aStep, aBytes) : [],
      plan.rows > height ? bringNear(k * n, bAt.get, columns, bColumn, steps.get, bStep, bBytes) : [],
      aPacked ? packRows(rows) : [],
      call(
        gemm,
        aPacked ? own : aAt.get,
        bAt.get,
        sums,
        rows,
        columns,
        steps.get,
        op('i32.sub', step.get, times(segment, plan.segment)),
        plus(own, plan.aBytes),
      ),
      aAt.add(aBytes * most * aStep),
      bAt.add(bBytes * most * bStep),
    ]),
    // Nothing to sum up over is a sum of zero.
    k === 0 ? call(gemm, aAt.get, bAt.get, sums, rows, columns, i32(0), i32(0), own) : [],
  ];
}
