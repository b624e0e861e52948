/**
 * What attention and its derivative share: a layout of the thread's scratch memory, packing of operands for one batch
 * element and head, products between them, and the rows of scores with their masks.
 */
import type { AttentionShape, Launch, Operand } from '@clipin/kernel';
import { type Code, call, i32, i32x4, ifElse, load, loadLane, op, plus, storeVector, times } from './code';
import { elementAddress, Frame } from './frame';
import { gemmFunction, type PanelCopy, panelColumns, tileRows } from './gemm';
import type { Target } from './math';
import { fromMemory, loadVector, storeVectorLanes } from './memory-access';
import type { FunctionBuilder, Local, ModuleBuilder } from './module';
import { packFunction, touchFunction } from './pack';

/** Queries that are computed together where there are many. */
const mostQueries = 96;
const manyQueries = 64;

/** Elements that are taken to fit into the second cache beside what is computed. */
const nearElements = 65536;

export const padded = (size: number): number => Math.ceil(size / panelColumns) * panelColumns;

/** A part of the thread's scratch memory. */
export interface Area {
  readonly offset: number;
}

/** A left operand of products: an address, and strides in bytes. */
export interface Rows {
  readonly address: Code;
  readonly row: number;
  readonly step: number;
}

/** A right operand: an address, and how panels of 8 columns are come by. */
export interface Columns {
  readonly address: Code;
  /** Bytes from one step to the next, and from one panel to the next. */
  readonly step: number;
  readonly panel: number;
  readonly copy: PanelCopy;
}

/** Where a product goes: an address, and bytes from one row to the next. */
export interface Sums {
  readonly address: Code;
  readonly row: number;
}

/** Matrices of at most this many elements stay in the first cache and are read where they lie. */
const smallMatrix = 4096;

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
  /** Keys of the products' columns: whole panels of those, or all. */
  readonly columns: Local;
  /** Room for one panel of a right operand. */
  private readonly panel: Area;
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
    this.columns = this.f.local('i32');
    this.panel = this.area(panelColumns * Math.max(kernel.dim, kernel.keys, this.block));
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
      this.columns.set(op('i32.and', plus(this.limit.get, panelColumns - 1), i32(-panelColumns))),
      ifElse(op('i32.gt_s', this.columns.get, i32(keys)), this.columns.set(i32(keys))),
    ];
  }

  /** The address of element `[batch, head, token, 0]` of an operand. */
  at({ input, index }: Operand, token?: Code): Code {
    const base = this.frame.inputs[input] as Local;
    return elementAddress(base.get, [this.batch.get, this.head.get, token], index.strides, index.offset);
  }

  /**
   * Reads operands once in the order they lie in: those of all heads of a batch element before the first, where they fit into
   * the second cache together.
   */
  bringNear(operands: readonly Operand[]): Code {
    const { heads, queries, keys, dim, key, value } = this.kernel;
    const together = heads * dim * (queries + keys) * operands.length <= 2 * nearElements;
    const touch = (operand: Operand): Code => {
      const [, head = 0, token = 0, element = 0] = operand.index.strides;
      if (element !== 1) return [];
      const tokens = operand === key || operand === value ? keys : queries;
      const rows = (width: number): Code =>
        call(touchFunction(this.module), this.at(operand), i32(tokens), i32(4 * width), i32(4 * token));
      if (together && head === dim) return ifElse(op('i32.eqz', this.head.get), rows(heads * dim));
      return this.blocks === 1 ? rows(dim) : [];
    };
    return operands.map(touch);
  }

  /**
   * An operand over `[tokens, dim]` as a right operand.
   *
   * @param columns - which of its axes are the columns: tokens for scores, elements for what weights add up
   * @param from - the first token
   */
  right({ input, index }: Operand, columns: 'tokens' | 'elements', from?: Code): Columns {
    const [, , token = 0, element = 0] = index.strides;
    const { keys, dim } = this.kernel;
    const [across, along] = columns === 'tokens' ? [token, element] : [element, token];
    const small = keys * dim <= smallMatrix && Math.abs(along) % 256 !== 0;
    const lastColumns = (columns === 'tokens' ? keys : dim) % panelColumns || panelColumns;
    const copy =
      across === 1
        ? small
          ? 'none'
          : 'whileReading'
        : ({ pack: { width: panelColumns, across, along }, lastColumns } as const);
    return {
      address: this.at({ input, index }, from),
      step: 4 * along,
      panel: 4 * across * panelColumns,
      copy,
    };
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

  /** `to = a · b`, added to what is there if `accumulate` is not 0. `rows`: the sizes that they may have, if known. */
  product(
    a: Rows,
    b: Columns,
    to: Sums,
    sizes: { rows: Code; columns: Code; steps: Code; accumulate?: Code; tails?: readonly number[] },
  ): Code {
    const height = tileRows(this.target);
    const gemm = gemmFunction(this.module, this.target, {
      aRow: a.row,
      aStep: a.step,
      aTile: a.row * height,
      bStep: b.step,
      bPanel: b.panel,
      copy: b.copy,
      cRow: to.row,
      tails: sizes.tails ?? Array.from({ length: height }, (_, tail) => tail),
    });
    const { accumulate = i32(0) } = sizes;
    return call(
      gemm,
      a.address,
      b.address,
      to.address,
      sizes.rows,
      sizes.columns,
      sizes.steps,
      accumulate,
      this.address(this.panel),
    );
  }

  /** The numbers of rows beyond whole tiles that a product over the block's queries may have. */
  get queryTails(): readonly number[] {
    const height = tileRows(this.target);
    const { queries } = this.kernel;
    return [(this.blocks > 1 ? this.block : queries) % height, (queries % this.block) % height];
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

  /** The same for products over the block's queries, whose rows are keys. */
  get keyTails(): readonly number[] {
    const height = tileRows(this.target);
    const { queries, keys, causal } = this.kernel;
    if (!causal) return [keys % height];
    return this.blocks > 1
      ? Array.from({ length: height }, (_, tail) => tail)
      : [Math.min(queries, keys) % height];
  }

  /** The address of row `[batch, token, head, 0]` of an output. */
  rowOf(output: number, token: Code, tokens: number): Code {
    const { heads, dim } = this.kernel;
    return elementAddress(
      (this.frame.outputs[output] as Local).get,
      [this.batch.get, this.head.get, token],
      [tokens * heads * dim, dim, heads * dim],
    );
  }

  /** Copies rows of scratch memory to output rows `[batch, token, head, :]`, each times its factor of `factors` if there are some. */
  storeRows(output: number, from: Code, token: Code, tokens: number, count: Code, factors?: Area): Code {
    const { heads, dim } = this.kernel;
    const { f } = this;
    const row = f.local('i32');
    const source = f.local('i32');
    const target = f.local('i32');
    const scale = f.local('v128');
    const value = f.local('v128');
    const vectors = Array.from({ length: Math.ceil(dim / 4) }, (_, u) => {
      const loaded = loadVector(f, plus(source.get, 16 * u), 1, 4);
      return [
        value.set(factors ? op('f32x4.mul', loaded, scale.get) : loaded),
        storeVectorLanes(plus(target.get, 16 * u), value.get, Math.min(4, dim - 4 * u)),
      ];
    });
    return [
      source.set(from),
      target.set(this.rowOf(output, token, tokens)),
      f.loop(row, i32(0), count, [
        factors
          ? scale.set(load('v128.load32_splat', op('i32.add', this.address(factors), times(row.get, 4))))
          : [],
        vectors,
        source.add(4 * padded(dim)),
        target.add(4 * heads * dim),
      ]),
    ];
  }
}
