/**
 * Matrix products: B (and A where its strides are awkward) packed into panels by all threads, then blocks of the
 * result computed by tiles into the thread's scratch memory, k block after k block, and the epilogue run over each
 * finished block. How sums are ordered depends on k alone.
 */
import { type Affine, contiguousStrides, type Launch, type MatmulKernel, sizeOf } from '@clipin/kernel';
import { type BlasPlan, blasCost, blasPlan } from './blas';
import { type Code, call, i32, ifElse, load, loadInt, op, plus, times } from './code';
import { type CompiledKernel, elementAddress, Frame, type Stage } from './frame';
import { type GemmLayout, gemmFunction, packFunction, panelColumns, tileRows } from './gemm';
import { elementCost, storeAll, walkVectors } from './loop';
import type { Target } from './math';
import { imported, type Local, type ModuleBuilder } from './module';
import { type SimpleMatmul, simplifyMatmul } from './nest';
import { ProgramEmitter } from './program';

/** Steps of k whose panels stay in the first cache; fewer where A's tiles are read from lines that other tiles share. */
const mostSteps = 384;
const mostSharedSteps = 64;

/** Nanoseconds of one multiply-add. */
const flopCost = 0.05;

/** Scratch memory of packed operands starts at multiples of this. */
const alignment = 64;
const align = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** One operand as the tiles read it. */
interface Packed {
  /** Whether it is copied into panels, or read where it lies. */
  readonly packed: boolean;
  /** Whether every batch element has its own. */
  readonly batched: boolean;
  /** Bytes of panels for one batch element. */
  readonly bytes: number;
  /** Where its panels start in shared scratch memory. */
  readonly offset: number;
}

interface Plan {
  readonly a: Packed;
  readonly b: Packed;
  readonly layout: GemmLayout;
  /** Whether tiles are written straight to the output: whole panels, and nothing to do with them. */
  readonly direct: boolean;
  /** Rows and columns of a block. */
  readonly rows: number;
  readonly columns: number;
  /** Steps of k in a block, and how many blocks. */
  readonly steps: number;
  readonly stepBlocks: number;
}

/** Strides of which every element would claim the same few lines of the first cache. */
const crowds = (stride: number): boolean => Math.abs(stride) % 256 === 0;

/** Whether nothing is to be done with the sums but to store them. */
const isPlain = ({ program, stores }: SimpleMatmul): boolean => program.length === 1 && stores.length === 1;

function planOf(kernel: SimpleMatmul): Plan {
  const { batch, m, n, k, a, b } = kernel;
  const rank = batch.length;
  const aRow = m === 1 ? 0 : (a.strides[rank] as number);
  const aStep = k === 1 ? 0 : (a.strides[rank + 1] as number);
  const bStep = k === 1 ? 0 : (b.strides[rank] as number);
  const bColumn = n === 1 ? 1 : (b.strides[rank + 1] as number);

  const fewColumns = n <= 2 * panelColumns;
  const aReadable =
    aRow >= 0 && (fewColumns || aStep === 1 || aRow === 0 || (aRow === 1 && !(crowds(aStep) && k > 64)));
  const bReadable = bColumn === 1 && (m <= 2 * tileRows || (k * n <= 4096 && !crowds(bStep)));
  const batched = (strides: readonly number[]) => strides.slice(0, rank).some((stride) => stride !== 0);
  const bPacked = {
    packed: !bReadable,
    batched: batched(b.strides),
    bytes: bReadable ? 0 : Math.ceil(n / panelColumns) * panelColumns * k * 4,
    offset: 0,
  };
  const bTotal = align(bPacked.bytes * (bPacked.batched ? sizeOf(batch) : 1));
  const aPacked = {
    packed: !aReadable,
    batched: batched(a.strides),
    bytes: aReadable ? 0 : Math.ceil(m / tileRows) * tileRows * k * 4,
    offset: bTotal,
  };

  let rows = 64;
  let columns = 256;
  const items = () => sizeOf(batch) * Math.ceil(m / rows) * Math.ceil(n / columns);
  while (items() < 16 && (rows > 16 || columns > 32)) {
    if (columns >= 2 * rows || rows <= 16) columns /= 2;
    else rows /= 2;
  }
  const direct = isPlain(kernel) && n % panelColumns === 0;
  const shared = aReadable && aRow === 1 && m > tileRows;
  const stepBlocks = Math.max(1, Math.ceil(k / (shared ? mostSharedSteps : mostSteps)));
  return {
    a: aPacked,
    b: bPacked,
    layout: {
      aRow: aReadable ? aRow * 4 : 4,
      aStep: aReadable ? aStep * 4 : 4 * tileRows,
      aTile: aReadable ? aRow * 4 * tileRows : k * 4 * tileRows,
      bStep: bReadable ? bStep * 4 : 4 * panelColumns,
      bPanel: bReadable ? 4 * panelColumns : k * 4 * panelColumns,
      cRow: (direct ? n : Math.min(columns, Math.ceil(n / panelColumns) * panelColumns)) * 4,
    },
    direct,
    rows,
    columns,
    steps: Math.ceil(k / stepBlocks),
    stepBlocks,
  };
}

/** The stage that copies one operand into panels. */
function packStage(
  launch: Launch,
  module: ModuleBuilder,
  kernel: SimpleMatmul,
  operand: {
    input: number;
    offset: number;
    strides: readonly number[];
    across: number;
    along: number;
    size: number;
  },
  packed: Packed,
  width: 4 | 8,
): Stage {
  const frame = new Frame(launch);
  const { k } = kernel;
  const panels = Math.ceil(operand.size / width);
  const batch = packed.batched ? kernel.batch : [];
  const rest = operand.size % width;
  const layout = { width, across: operand.across, along: operand.along };
  const whole = operand.size >= width ? packFunction(module, layout, width) : undefined;
  const ragged = rest > 0 ? packFunction(module, layout, rest) : undefined;
  const from = frame.f.local('i32');
  const to = frame.f.local('i32');
  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [...batch, panels]);
    const panel = indices[indices.length - 1] as Local;
    const place = [...indices.slice(0, -1).map((index) => index.get), panel.get];
    const strides = [...(packed.batched ? operand.strides : []), operand.across * width];
    const run = (index: number): Code => call(index, from.get, to.get, i32(k));
    return [
      code,
      from.set(elementAddress((frame.inputs[operand.input] as Local).get, place, strides, operand.offset)),
      to.set(op('i32.add', plus(frame.shared.get, packed.offset), times(item.get, k * width * 4))),
      whole === undefined || ragged === undefined
        ? run((whole ?? ragged) as number)
        : ifElse(op('i32.eq', panel.get, i32(panels - 1)), run(ragged), run(whole)),
    ];
  };
  return frame.close(body, sizeOf(batch) * panels, k * width * 0.5);
}

/** How the result is cut, and where blocks of it are computed. */
interface Blocks {
  /** Rows and columns of a block. */
  readonly rows: number;
  readonly columns: number;
  /** Whether blocks are written straight to the output, or to the thread's scratch memory for the epilogue. */
  readonly direct: boolean;
  /** Bytes from one row of a block to the next, there. */
  readonly row: number;
}

/** The block that is being computed. */
interface Block {
  /** Number of the batch element, and its indices. */
  readonly batch: Code;
  readonly outer: readonly Code[];
  readonly row: Local;
  readonly rowEnd: Local;
  readonly column: Local;
  readonly columnEnd: Local;
  /** Address of the block's sums. */
  readonly to: Code;
}

/** The stage that computes blocks of the result by `product`, and runs the epilogue over them. */
function productStage(
  frame: Frame,
  launch: Launch,
  kernel: SimpleMatmul,
  blocks: Blocks,
  target: Target,
  product: { readonly cost: number; readonly code: (block: Block) => Code },
): Stage {
  const { batch, m, n } = kernel;
  const rank = batch.length;
  const { f } = frame;
  const rowBlocks = Math.ceil(m / blocks.rows);
  const columnBlocks = Math.ceil(n / blocks.columns);
  const row = f.local('i32');
  const rowEnd = f.local('i32');
  const column = f.local('i32');
  const columnEnd = f.local('i32');
  const sums = f.local('i32');
  const sumsRow = f.local('i32');
  const position = f.local('i32');
  const addresses = frame.outputs.map(() => f.local('i32'));
  const strides = contiguousStrides([...batch, m, n]);

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [...batch, rowBlocks, columnBlocks]);
    const outer = indices.slice(0, rank).map((index) => index.get);
    const bounds = (from: Local, to: Local, block: Local, size: number, most: number): Code => [
      from.set(op('i32.mul', block.get, i32(size))),
      to.set(plus(from.get, size)),
      ifElse(op('i32.gt_s', to.get, i32(most)), to.set(i32(most))),
    ];
    const place = [...outer, row.get, column.get];
    const reduced = (u: number) => load('v128.load', sums.get, 16 * u);
    const emitter = new ProgramEmitter(
      { f, target, inputs: frame.inputs, indices: place, vector: rank + 1, looped: rank + 1 },
      kernel.program,
      reduced,
    );
    const emit = (lanes: readonly number[]): Code => [
      emitter.turn(lanes),
      storeAll(f, emitter, kernel, launch.outputTypes, addresses, lanes),
      emitter.advance(4 * lanes.length),
      addresses.map((address) => address.add(16 * lanes.length)),
      sums.add(16 * lanes.length),
    ];
    const epilogue = [
      sumsRow.set(frame.own.get),
      f.count(row, rowEnd.get, 1, [
        addresses.map((address, output) =>
          address.set(elementAddress((frame.outputs[output] as Local).get, place, strides)),
        ),
        sums.set(sumsRow.get),
        position.set(column.get),
        emitter.before([4, 4]),
        walkVectors(position, columnEnd.get, n, kernel.program.length <= 8 ? 2 : 1, emit),
        sumsRow.add(blocks.row),
      ]),
    ];
    return [
      code,
      bounds(row, rowEnd, indices[rank] as Local, blocks.rows, m),
      bounds(column, columnEnd, indices[rank + 1] as Local, blocks.columns, n),
      sums.set(
        blocks.direct ? elementAddress((frame.outputs[0] as Local).get, place, strides) : frame.own.get,
      ),
      product.code({
        batch: op('i32.div_u', item.get, i32(rowBlocks * columnBlocks)),
        outer,
        row,
        rowEnd,
        column,
        columnEnd,
        to: sums.get,
      }),
      blocks.direct ? [] : epilogue,
    ];
  };
  const elements = Math.min(m, blocks.rows) * Math.min(n, blocks.columns);
  return frame.close(
    body,
    sizeOf(batch) * rowBlocks * columnBlocks,
    product.cost + elements * elementCost(kernel.program),
  );
}

/** A block of the result by our own tiles. */
function tileProduct(
  frame: Frame,
  module: ModuleBuilder,
  kernel: SimpleMatmul,
  plan: Plan,
  operands: { readonly a: number; readonly b: number },
  target: Target,
): (block: Block) => Code {
  const { f } = frame;
  const { a, b, k } = kernel;
  const gemm = gemmFunction(module, target, plan.layout);
  const aAt = f.local('i32');
  const bAt = f.local('i32');
  const step = f.local('i32');
  const steps = f.local('i32');
  return ({ batch, outer, row, rowEnd, column, columnEnd, to }) => {
    const panelsAt = (packed: Packed): Code =>
      op(
        'i32.add',
        plus(frame.shared.get, packed.offset),
        times(packed.batched ? batch : i32(0), packed.bytes),
      );
    const aStart = plan.a.packed
      ? op('i32.add', panelsAt(plan.a), times(row.get, k * 4))
      : elementAddress((frame.inputs[operands.a] as Local).get, [...outer, row.get], a.strides, a.offset);
    const bStart = plan.b.packed
      ? op('i32.add', panelsAt(plan.b), times(column.get, k * 4))
      : elementAddress(
          (frame.inputs[operands.b] as Local).get,
          [...outer, undefined, column.get],
          b.strides,
          b.offset,
        );
    const rows = op('i32.sub', rowEnd.get, row.get);
    const columns = op('i32.sub', columnEnd.get, column.get);
    const panels = op('i32.div_u', plus(columns, panelColumns - 1), i32(panelColumns));
    return [
      aAt.set(aStart),
      bAt.set(bStart),
      f.loop(
        step,
        i32(0),
        i32(Math.max(1, k)),
        [
          steps.set(op('i32.sub', i32(k), step.get)),
          ifElse(op('i32.gt_s', steps.get, i32(plan.steps)), steps.set(i32(plan.steps))),
          call(gemm, aAt.get, bAt.get, to, rows, panels, steps.get, step.get),
          aAt.add(plan.steps * plan.layout.aStep),
          bAt.add(plan.steps * plan.layout.bStep),
        ],
        Math.max(1, plan.steps),
      ),
    ];
  };
}

/** A block of the result by one call of BLAS. */
function blasProduct(
  frame: Frame,
  kernel: SimpleMatmul,
  plan: BlasPlan,
  leadingC: number,
  operands: { readonly a: number; readonly b: number },
): (block: Block) => Code {
  const { a, b, k } = kernel;
  const element = (operand: number, { strides, offset }: Affine, place: readonly (Code | undefined)[]) =>
    elementAddress((frame.inputs[operand] as Local).get, place, strides, offset);
  // BLAS knows no bounds: the first and last elements are read here, which fails where they are not in the memory.
  const touch = (address: Code): Code => op('drop', loadInt(address));
  return ({ outer, row, rowEnd, column, columnEnd, to }) => {
    const rows = op('i32.sub', rowEnd.get, row.get);
    const columns = op('i32.sub', columnEnd.get, column.get);
    const last = i32(k - 1);
    const aStart = element(operands.a, a, [...outer, row.get]);
    const bStart = element(operands.b, b, [...outer, undefined, column.get]);
    return [
      touch(aStart),
      touch(element(operands.a, a, [...outer, plus(rowEnd.get, -1), last])),
      touch(bStart),
      touch(element(operands.b, b, [...outer, last, plus(columnEnd.get, -1)])),
      touch(elementAddress(to, [plus(rows, -1), plus(columns, -1)], [leadingC, 1])),
      call(
        imported.sgemm,
        i32(plan.a.transpose),
        i32(plan.b.transpose),
        rows,
        columns,
        i32(k),
        aStart,
        i32(plan.a.leading),
        bStart,
        i32(plan.b.leading),
        to,
        i32(leadingC),
      ),
    ];
  };
}

/** Code for a product that BLAS computes, block by block. */
function compileBlas(
  launch: Launch,
  kernel: MatmulKernel,
  simple: SimpleMatmul,
  plan: BlasPlan,
  target: Target,
): CompiledKernel {
  const { n, k } = simple;
  const direct = isPlain(simple);
  const columns = Math.min(plan.columns, n);
  const leading = direct ? n : 4 * Math.ceil(columns / 4);
  const blocks = { ...plan, direct, row: 4 * leading };
  const frame = new Frame(launch);
  const work = Math.min(simple.m, plan.rows) * columns * k;
  const stage = productStage(frame, launch, simple, blocks, target, {
    cost: blasCost.call + work * blasCost.flop,
    code: blasProduct(frame, simple, plan, leading, { a: kernel.a.input, b: kernel.b.input }),
  });
  return { stages: [stage], sharedBytes: 0, threadBytes: direct ? 0 : plan.rows * blocks.row };
}

/** Code for a matrix product. */
export function compileMatmul(
  launch: Launch,
  kernel: MatmulKernel,
  target: Target,
  module: ModuleBuilder,
): CompiledKernel {
  const simple = simplifyMatmul(kernel);
  const blas = target.blasBlocks === undefined ? undefined : blasPlan(simple, target.blasBlocks);
  if (blas) return compileBlas(launch, kernel, simple, blas, target);
  const plan = planOf(simple);
  const rank = simple.batch.length;
  const stages: Stage[] = [];
  const stride = (strides: readonly number[], axis: number, size: number) =>
    size === 1 ? 1 : (strides[axis] as number);
  if (plan.b.packed && simple.k > 0) {
    const { strides, offset } = simple.b;
    const operand = {
      input: kernel.b.input,
      offset,
      strides: strides.slice(0, rank),
      across: stride(strides, rank + 1, simple.n),
      along: stride(strides, rank, simple.k),
      size: simple.n,
    };
    stages.push(packStage(launch, module, simple, operand, plan.b, panelColumns));
  }
  if (plan.a.packed && simple.k > 0) {
    const { strides, offset } = simple.a;
    const operand = {
      input: kernel.a.input,
      offset,
      strides: strides.slice(0, rank),
      across: stride(strides, rank, simple.m),
      along: stride(strides, rank + 1, simple.k),
      size: simple.m,
    };
    stages.push(packStage(launch, module, simple, operand, plan.a, tileRows));
  }
  const frame = new Frame(launch);
  const operands = { a: kernel.a.input, b: kernel.b.input };
  const blocks = { ...plan, row: plan.layout.cRow };
  stages.push(
    productStage(frame, launch, simple, blocks, target, {
      cost: Math.min(simple.m, plan.rows) * Math.min(simple.n, plan.columns) * simple.k * flopCost,
      code: tileProduct(frame, module, simple, plan, operands, target),
    }),
  );
  const total = (packed: Packed) => packed.bytes * (packed.batched ? sizeOf(simple.batch) : 1);
  return {
    stages,
    sharedBytes: plan.a.offset + align(total(plan.a)),
    threadBytes: plan.direct ? 0 : plan.rows * plan.layout.cRow,
  };
}
