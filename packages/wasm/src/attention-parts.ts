/**
 * What attention and its derivative share: a layout of the thread's scratch memory, packing of operands for one batch
 * element and head, products between them, and the rows of scores with their masks.
 */
import type { AttentionShape, Launch, Operand } from '@clipin/kernel';
import { type Code, call, i32, i32x4, ifElse, load, loadLane, op, plus, storeVector, times } from './code';
import { elementAddress, Frame } from './frame';
import { gemmFunction, panelColumns, panelStep, tileRows } from './gemm';
import type { Target } from './math';
import { fromMemory, loadVector, storeVectorLanes } from './memory-access';
import type { FunctionBuilder, Local, ModuleBuilder } from './module';
import { packFunction } from './pack';

/** Queries that are computed together where there are many. */
const mostQueries = 96;
const manyQueries = 64;

export const padded = (size: number): number => Math.ceil(size / panelColumns) * panelColumns;

/** A part of the thread's scratch memory. */
export interface Area {
  readonly offset: number;
}

/** An operand as products read it: a function-ready place and its strides in bytes. */
export interface Rows {
  readonly address: Code;
  readonly row: number;
  readonly step: number;
}

/** A right operand in panels. */
export interface Panels {
  readonly address: Code;
  /** Bytes from one panel to the next. */
  readonly panel: number;
}

/** Emits the parts of attention for one batch element and head. */
export class AttentionParts {
  readonly frame: Frame;
  readonly f: FunctionBuilder;
  /** Queries of a block, and how many blocks. */
  readonly block: number;
  readonly blocks: number;
  readonly batch: Local;
  readonly head: Local;
  /** First query of the block, and queries in it. */
  readonly first: Local;
  readonly rows: Local;
  /** Keys that any query of the block can see. */
  readonly limit: Local;
  private bytes = 0;

  constructor(
    launch: Launch,
    readonly kernel: AttentionShape,
    readonly module: ModuleBuilder,
    readonly target: Target,
  ) {
    this.frame = new Frame(launch);
    this.f = this.frame.f;
    this.block = kernel.queries <= mostQueries ? kernel.queries : manyQueries;
    this.blocks = Math.ceil(kernel.queries / this.block);
    this.batch = this.f.local('i32');
    this.head = this.f.local('i32');
    this.first = this.f.local('i32');
    this.rows = this.f.local('i32');
    this.limit = this.f.local('i32');
  }

  /** Bytes of scratch memory handed out so far. */
  get threadBytes(): number {
    return this.bytes;
  }

  /** Takes `elements` of the thread's scratch memory. */
  area(elements: number): Area {
    const offset = this.bytes;
    this.bytes += Math.ceil(elements / 16) * 64;
    return { offset };
  }

  address(area: Area): Code {
    return plus(this.frame.own.get, area.offset);
  }

  /** Bounds of the block of queries that starts at `first`. */
  bounds(): Code {
    const { queries, keys, causal } = this.kernel;
    return [
      this.rows.set(op('i32.sub', i32(queries), this.first.get)),
      ifElse(op('i32.gt_s', this.rows.get, i32(this.block)), this.rows.set(i32(this.block))),
      this.limit.set(i32(keys)),
      causal
        ? ifElse(
            op('i32.lt_s', op('i32.add', this.first.get, this.rows.get), i32(keys)),
            this.limit.set(op('i32.add', this.first.get, this.rows.get)),
          )
        : [],
    ];
  }

  /** The address of element `[batch, head, token, 0]` of an operand. */
  at({ input, index }: Operand, token?: Code): Code {
    const base = this.frame.inputs[input] as Local;
    return elementAddress(base.get, [this.batch.get, this.head.get, token], index.strides, index.offset);
  }

  /**
   * Copies a matrix into panels of `width` lanes.
   *
   * @param size - lanes across all panels
   * @param count - lanes that are wanted now
   * @param steps - steps along, now; `mostSteps` at most
   */
  pack(
    from: Code,
    strides: { readonly across: number; readonly along: number },
    to: Area,
    {
      width,
      size,
      count,
      steps,
      mostSteps,
    }: { width: 4 | 8; size: number; count: Code; steps: Code; mostSteps: number },
  ): Code {
    if (size === 0) return [];
    const layout = { width, ...strides };
    const source = this.f.local('i32');
    const target = this.f.local('i32');
    const panel = this.f.local('i32');
    const rest = size % width;
    const whole = size >= width ? packFunction(this.module, layout, width) : undefined;
    const ragged = rest > 0 ? packFunction(this.module, layout, rest) : undefined;
    const run = (index: number): Code => call(index, source.get, target.get, steps);
    return [
      source.set(from),
      target.set(this.address(to)),
      this.f.loop(
        panel,
        i32(0),
        count,
        [
          whole === undefined || ragged === undefined
            ? run((whole ?? ragged) as number)
            : ifElse(op('i32.gt_s', panel.get, i32(size - width)), run(ragged), run(whole)),
          source.add(4 * width * strides.across),
          target.add(4 * width * mostSteps),
        ],
        width,
      ),
    ];
  }

  /** Rows of an operand over `[tokens, dim]` as a left operand: where they lie, or copied if they run backwards. */
  leftRows(operand: Operand, token: Code, count: Code): { code: Code; rows: Rows } {
    const [, , across = 0, along = 0] = operand.index.strides;
    if (across >= 0) {
      const rows = {
        address: this.at(operand, token),
        row: 4 * across,
        step: 4 * along,
      };
      return { code: [], rows };
    }
    const { dim } = this.kernel;
    const area = this.area(this.block * dim);
    const pack = packFunction(this.module, { width: 1, across, along }, 1);
    const from = this.f.local('i32');
    const row = this.f.local('i32');
    const to = op('i32.add', this.address(area), times(row.get, 4 * dim));
    const code = [
      from.set(this.at(operand, token)),
      this.f.loop(row, i32(0), count, [call(pack, from.get, to, i32(dim)), from.add(4 * across)]),
    ];
    return {
      code,
      rows: { address: this.address(area), row: 4 * dim, step: 4 },
    };
  }

  /** `to = a · b`, or added to it. `columns` are those of b, `width` the padded columns of a row of `to`. */
  product(
    a: Rows,
    b: Panels,
    to: Code,
    width: number,
    sizes: { rows: Code; columns: Code; steps: Code; accumulate: boolean },
  ): Code {
    const gemm = gemmFunction(this.module, this.target, {
      aRow: a.row,
      aStep: a.step,
      aTile: a.row * tileRows(this.target),
      bStep: panelStep,
      bPanel: b.panel,
      copy: 'none',
      cRow: 4 * width,
      tails: [1, 2, 3, 4, 5],
    });
    return call(
      gemm,
      a.address,
      b.address,
      to,
      sizes.rows,
      sizes.columns,
      sizes.steps,
      i32(sizes.accumulate ? 1 : 0),
      i32(0),
    );
  }

  /**
   * Walks the keys that query `query` sees, four at a time, then clears what the block's other queries see.
   *
   * @param row - address of the row's scores; the same place in every area that `visit` writes
   * @param visit - code for four keys; `hidden` gives a mask of lanes to hide, or nothing where all are seen
   * @param clear - offsets from `row` of areas to clear
   */
  alongKeys(
    query: Local,
    row: Local,
    visit: (at: Local, hidden: Code | undefined) => Code,
    clear: readonly number[],
  ): Code {
    const { keys, causal, mask } = this.kernel;
    const { f } = this;
    const key = f.local('i32');
    const seen = f.local('i32');
    const at = f.local('i32');
    const whole = f.local('i32');
    const shown = f.local('v128');
    const maskAt = f.local('i32');
    const masked = (): Code => (mask ? this.maskVector(mask, maskAt, key) : []);
    const beyond = op(
      'i32x4.le_s',
      op('i32x4.splat', seen.get),
      op('i32x4.add', op('i32x4.splat', key.get), i32x4(0, 1, 2, 3)),
    );
    const step = (hidden: Code | undefined): Code => {
      const both = mask ? (hidden ? op('v128.or', shown.get, hidden) : shown.get) : hidden;
      return [mask ? shown.set(op('v128.not', masked())) : [], visit(at, both)];
    };
    const ragged = keys % 4 !== 0 || causal;
    return [
      seen.set(i32(keys)),
      causal ? ifElse(op('i32.lt_s', plus(query.get, 1), i32(keys)), seen.set(plus(query.get, 1))) : [],
      mask ? maskAt.set(this.maskRow(mask, query)) : [],
      at.set(row.get),
      whole.set(op('i32.and', seen.get, i32(-4))),
      f.loop(key, i32(0), whole.get, [step(undefined), at.add(16)], 4),
      ragged ? ifElse(op('i32.lt_s', key.get, seen.get), [step(beyond), at.add(16), key.add(4)]) : [],
      causal
        ? f.count(key, this.limit.get, 4, [
            clear.map((offset) => storeVector(plus(at.get, offset), i32x4(0))),
            at.add(16),
          ])
        : [],
    ];
  }

  private maskRow({ input, index }: Operand, query: Local): Code {
    const base = this.frame.inputs[input] as Local;
    return elementAddress(base.get, [this.batch.get, this.head.get, query.get], index.strides, index.offset);
  }

  /** Four truth values of the mask from `key` on; lanes beyond the last key repeat it. */
  private maskVector({ index }: Operand, row: Local, key: Local): Code {
    const stride = index.strides[3] ?? 0;
    const { f } = this;
    if (stride === 0) return fromMemory('bool', load('v128.load32_splat', row.get));
    // Up to three elements beyond the buffer's end are read: the allocator leaves room.
    if (stride === 1) return fromMemory('bool', load('v128.load', op('i32.add', row.get, times(key.get, 4))));
    const vector = f.local('v128');
    const lane = f.local('i32');
    const last = i32(this.kernel.keys - 1);
    return [
      [0, 1, 2, 3].map((number) => [
        lane.set(plus(key.get, number)),
        ifElse(op('i32.gt_s', lane.get, last), lane.set(last)),
        vector.set(loadLane(op('i32.add', row.get, times(lane.get, 4 * stride)), vector.get, number)),
      ]),
      fromMemory('bool', vector.get),
    ];
  }

  /** Copies rows of scratch memory to output rows `[batch, token, head, :]`, each times a factor if there is one. */
  storeRows(
    output: number,
    from: Code,
    token: Code,
    tokens: number,
    count: Code,
    factor?: (row: Local) => Code,
  ): Code {
    const { heads, dim } = this.kernel;
    const { f } = this;
    const row = f.local('i32');
    const source = f.local('i32');
    const target = f.local('i32');
    const scale = f.local('v128');
    const value = f.local('v128');
    const strides = [tokens * heads * dim, dim, heads * dim];
    const start = elementAddress(
      (this.frame.outputs[output] as Local).get,
      [this.batch.get, this.head.get, token],
      strides,
    );
    const vectors = Array.from({ length: Math.ceil(dim / 4) }, (_, u) => {
      const loaded = loadVector(f, plus(source.get, 16 * u), 1, 4);
      return [
        value.set(factor ? op('f32x4.mul', loaded, scale.get) : loaded),
        storeVectorLanes(plus(target.get, 16 * u), value.get, Math.min(4, dim - 4 * u)),
      ];
    });
    return [
      source.set(from),
      target.set(start),
      f.loop(row, i32(0), count, [
        factor ? scale.set(factor(row)) : [],
        vectors,
        source.add(4 * padded(dim)),
        target.add(4 * heads * dim),
      ]),
    ];
  }
}
