/**
 * Matrix products: blocks of the result are computed, each thread some, into the output, or into scratch memory where the epilogue
 * runs over each finished block. Where k is cut into segments, their sums lie in shared scratch memory first, and a second
 * stage adds them up in order.
 */
import {
  contiguousStrides,
  type Launch,
  type MatmulKernel,
  type Operand,
  type Producer,
  sizeOf,
} from '@clipin/kernel';
import { type BlasPlan, blasCost, blasPlan } from './blas';
import { blasBytes, blasProduct, withLeading } from './blas-product';
import { type Code, i32, ifElse, load, op, plus, times } from './code';
import { type CompiledKernel, elementAddress, Frame, type Stage } from './frame';
import { panelColumns } from './gemm';
import { advanceOutputs, elementCost, startOutputs, storeAll, walkVectors } from './loop';
import type { Target } from './math';
import type { Local, ModuleBuilder } from './module';
import { type SimpleMatmul, simplifyMatmul } from './nest';
import { produceOperands } from './produce';
import { ProgramEmitter } from './program';
import { type Block, multiplyAddCost, planOf, tileBytes, tileProduct } from './tiles';

/** Elements of the result that one item of the second stage finishes, about. */
const foldedElements = 4096;

/** Whether nothing is to be done with the sums but to store them. */
const isPlain = ({ program, stores }: SimpleMatmul): boolean => program.length === 1 && stores.length === 1;

/** How the result is cut, and where blocks of it are computed. */
interface Blocks {
  /** Rows and columns of a block. */
  readonly rows: number;
  readonly columns: number;
  /** Segments of k. */
  readonly segments: number;
  /** Where sums go: to the output, to the thread's scratch memory for the epilogue, or to shared memory for a second stage. */
  readonly sums: 'output' | 'own' | 'shared';
  /** Bytes from one row of sums to the next, there. */
  readonly row: number;
}

/** Rows and columns of the result with the epilogue run over them. */
class Epilogue {
  private readonly addresses: readonly Local[];
  private readonly from: Local;
  private readonly fromRow: Local;
  private readonly position: Local;

  constructor(
    private readonly frame: Frame,
    private readonly launch: Launch,
    private readonly kernel: SimpleMatmul,
    private readonly target: Target,
  ) {
    const { f } = frame;
    this.addresses = frame.outputs.map(() => f.local('i32'));
    this.from = f.local('i32');
    this.fromRow = f.local('i32');
    this.position = f.local('i32');
  }

  /**
   * @param outer - indices of the batch element
   * @param row - the first row, counted up to `rowEnd`
   * @param sums - address of the sums, whose rows lie `stride` bytes apart
   * @param segments - how many are to be added up, lying `apart` bytes from each other
   */
  emit(
    outer: readonly Code[],
    row: Local,
    rowEnd: Code,
    column: Code,
    columnEnd: Code,
    sums: Code,
    stride: number,
    segments = 1,
    apart = 0,
  ): Code {
    const { frame, kernel, launch, target, addresses, from, fromRow, position } = this;
    const { f } = frame;
    const { batch, m, n, program } = kernel;
    const axis = batch.length + 1;
    const strides = contiguousStrides([...batch, m, n]);
    const place = [...outer, row.get, column];
    const reduced = (u: number): Code =>
      Array.from({ length: segments }, (_, segment) =>
        load('v128.load', plus(from.get, segment * apart), 16 * u),
      ).reduce((sum, part) => op('f32x4.add', sum, part));
    const emitter = new ProgramEmitter(
      {
        ...{ f, target, inputs: frame.inputs, inputTypes: launch.inputTypes, indices: place },
        ...{ vector: axis, looped: axis },
      },
      program,
      reduced,
    );
    const emit = (lanes: readonly number[]): Code => [
      emitter.turn(lanes),
      storeAll(f, emitter, kernel, launch.outputTypes, addresses, lanes),
      emitter.advance(4 * lanes.length),
      advanceOutputs(launch.outputTypes, addresses, 4 * lanes.length),
      from.add(16 * lanes.length),
    ];
    return [
      fromRow.set(sums),
      f.count(row, rowEnd, 1, [
        startOutputs(frame, launch.outputTypes, addresses, place, strides),
        from.set(fromRow.get),
        position.set(column),
        emitter.before([4, 4]),
        walkVectors(position, columnEnd, n, program.length <= 24 ? 2 : 1, emit),
        fromRow.add(stride),
      ]),
    ];
  }
}

/** `from` and `to` of block number `block` of an axis. */
const bounds = (from: Local, to: Local, block: Code, size: number, most: number): Code => [
  from.set(op('i32.mul', block, i32(size))),
  to.set(plus(from.get, size)),
  ifElse(op('i32.gt_s', to.get, i32(most)), to.set(i32(most))),
];

/** Bytes of the sums of one segment of k. */
const segmentBytes = ({ batch, m }: SimpleMatmul, { row }: Blocks): number => sizeOf(batch) * m * row;

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
  const { f } = frame;
  const rowBlocks = Math.ceil(m / blocks.rows);
  const columnBlocks = Math.ceil(n / blocks.columns);
  const row = f.local('i32');
  const rowEnd = f.local('i32');
  const column = f.local('i32');
  const columnEnd = f.local('i32');
  const to = f.local('i32');
  const epilogue = new Epilogue(frame, launch, kernel, target);

  const body = (item: Local): Code => {
    const split = frame.split(item.get, [...batch, blocks.segments, rowBlocks, columnBlocks]);
    const indices = split.indices.map((index) => index.get);
    const outer = indices.slice(0, batch.length);
    const [segment, rowBlock, columnBlock] = indices.slice(batch.length) as [Code, Code, Code];
    const rowStrides = contiguousStrides([...batch, m, blocks.row / 4]);
    const place = [...outer, row.get, column.get];
    const sums = {
      output: () => elementAddress((frame.outputs[0] as Local).get, place, rowStrides),
      own: () => frame.own.get,
      shared: () =>
        op(
          'i32.add',
          elementAddress(frame.shared.get, place, rowStrides),
          times(segment, segmentBytes(kernel, blocks)),
        ),
    };
    return [
      split.code,
      bounds(row, rowEnd, rowBlock, blocks.rows, m),
      bounds(column, columnEnd, columnBlock, blocks.columns, n),
      to.set(sums[blocks.sums]()),
      product.code({
        outer,
        row: row.get,
        rows: op('i32.sub', rowEnd.get, row.get),
        column: column.get,
        columns: op('i32.sub', columnEnd.get, column.get),
        segment,
        to: to.get,
      }),
      blocks.sums === 'own'
        ? epilogue.emit(outer, row, rowEnd.get, column.get, columnEnd.get, frame.own.get, blocks.row)
        : [],
    ];
  };
  const elements = Math.min(m, blocks.rows) * Math.min(n, blocks.columns);
  return frame.close(
    body,
    sizeOf(batch) * blocks.segments * rowBlocks * columnBlocks,
    product.cost + elements * elementCost(blocks.sums === 'own' ? kernel.program : []),
  );
}

/** The stage that adds up the sums of the segments of k, in order, and runs the epilogue. */
function foldStage(launch: Launch, kernel: SimpleMatmul, blocks: Blocks, target: Target): Stage {
  const { batch, m, n, program } = kernel;
  const frame = new Frame(launch);
  const { f } = frame;
  const rows = Math.max(1, Math.ceil(foldedElements / n));
  const rowBlocks = Math.ceil(m / rows);
  const row = f.local('i32');
  const rowEnd = f.local('i32');
  const epilogue = new Epilogue(frame, launch, kernel, target);
  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [...batch, rowBlocks]);
    const outer = indices.slice(0, -1).map((index) => index.get);
    const rowStrides = contiguousStrides([...batch, m, blocks.row / 4]);
    return [
      code,
      bounds(row, rowEnd, (indices[batch.length] as Local).get, rows, m),
      epilogue.emit(
        outer,
        row,
        rowEnd.get,
        i32(0),
        i32(n),
        elementAddress(frame.shared.get, [...outer, row.get], rowStrides),
        blocks.row,
        blocks.segments,
        segmentBytes(kernel, blocks),
      ),
    ];
  };
  const cost = Math.min(m, rows) * n * (elementCost(program) + 0.2 * blocks.segments);
  return frame.close(body, sizeOf(batch) * rowBlocks, cost);
}

/** Code for a product that BLAS computes, block by block. */
function compileBlas(
  launch: Launch,
  simple: SimpleMatmul,
  plan: BlasPlan,
  target: Target,
  module: ModuleBuilder,
): CompiledKernel {
  const { m, n, k } = simple;
  const direct = isPlain(simple);
  const columns = Math.min(plan.columns, n);
  const leading = direct ? n : 4 * Math.ceil(columns / 4);
  const blocks: Blocks = {
    ...{ rows: plan.rows, columns: plan.columns, segments: 1 },
    sums: direct ? 'output' : 'own',
    row: 4 * leading,
  };
  const frame = new Frame(launch);
  const sumBytes = direct ? 0 : plan.rows * blocks.row;
  const own = plus(frame.own.get, sumBytes);
  const wideBytes = blasBytes(plan);
  const reach = { rows: Math.min(m, plan.rows), columns, steps: k };
  const operands = produceOperands(frame, launch.inputTypes, simple, reach, target);
  const found = withLeading(plan, operands.kernel);
  const product = blasProduct(module, operands.kernel, found, leading, operands.inputs, own);
  const work = reach.rows * columns * k;
  const stage = productStage(frame, launch, simple, blocks, target, {
    cost: blasCost.call + work * blasCost.flop + (wideBytes / 4) * blasCost.half + operands.cost,
    code: (block) => [operands.code(block, plus(own, wideBytes)), product(block)],
  });
  return { stages: [stage], sharedBytes: 0, threadBytes: sumBytes + wideBytes + operands.bytes };
}

/** Code for a matrix product. */
export function compileMatmul(
  launch: Launch,
  kernel: MatmulKernel<Operand | Producer>,
  target: Target,
  module: ModuleBuilder,
): CompiledKernel {
  const simple = simplifyMatmul(kernel, launch.inputTypes);
  const blas = target.blasBlocks === undefined ? undefined : blasPlan(simple, target.blasBlocks);
  if (blas) return compileBlas(launch, simple, blas, target, module);
  const plan = planOf(simple, target);
  const { m, n } = simple;
  const direct = isPlain(simple) && n % panelColumns === 0;
  const sums = plan.segments > 1 ? 'shared' : direct ? 'output' : 'own';
  const width = Math.ceil(n / panelColumns) * panelColumns;
  const blocks: Blocks = {
    rows: plan.rows,
    columns: plan.columns,
    segments: plan.segments,
    sums,
    row: 4 * (sums === 'own' ? Math.min(plan.columns, width) : width),
  };
  const frame = new Frame(launch);
  const sumBytes = sums === 'own' ? Math.min(plan.rows, m) * blocks.row : 0;
  const reach = { rows: Math.min(plan.rows, m), columns: Math.min(plan.columns, n), steps: plan.segment };
  const work = reach.rows * reach.columns * reach.steps;
  const operands = produceOperands(frame, launch.inputTypes, simple, reach, target);
  const own = plus(frame.own.get, sumBytes);
  const tiles = tileProduct(frame, module, operands.kernel, plan, operands.inputs, own, blocks.row, target);
  const product = {
    cost: work * multiplyAddCost + operands.cost,
    code: (block: Block): Code => [operands.code(block, plus(own, tileBytes(plan))), tiles(block)],
  };
  const stages = [productStage(frame, launch, simple, blocks, target, product)];
  if (sums === 'shared') stages.push(foldStage(launch, simple, blocks, target));
  return {
    stages,
    sharedBytes: sums === 'shared' ? plan.segments * segmentBytes(simple, blocks) : 0,
    threadBytes: sumBytes + tileBytes(plan) + operands.bytes,
  };
}
