/**
 * The inner function of matrix products: `C = A · B` by tiles of a few rows and 8 columns, whose sums stay in
 * registers. Panels of B are read where they lie, or copied one at a time to where they stay in the first cache.
 */
import { type Code, call, doWhile, i32, i32x4, ifElse, leaveIf, load, op, storeVector } from './code';
import { madd, type Target } from './math';
import { FunctionBuilder, type Local, type ModuleBuilder } from './module';
import { type PackLayout, packFunction } from './pack';

/** Columns of a tile and of a panel. */
export const panelColumns = 8 as const;
/** Bytes from one step of k to the next in a packed panel. */
export const panelStep = 4 * panelColumns;

/**
 * Rows of a tile. 12 sums, one row of B and one element of A are the 15 registers that V8 has on x64; multiplication and
 * addition apart want one more.
 */
export const tileRows = ({ relaxed }: Target): 4 | 6 => (relaxed ? 6 : 4);

/** How panels of B are come by: as they lie; copied by the first tile that reads them; or packed before. */
export type PanelCopy = 'none' | 'whileReading' | { readonly pack: PackLayout; readonly lastColumns: number };

/** Where the gemm function finds its operands; all strides in bytes. */
export interface GemmLayout {
  /** From one row of A to the next inside a tile; not negative. */
  readonly aRow: number;
  /** From one step of k to the next in A. */
  readonly aStep: number;
  /** From one tile of rows to the next in A. */
  readonly aTile: number;
  /** From one step of k to the next in B. */
  readonly bStep: number;
  /** From one panel of 8 columns to the next in B. */
  readonly bPanel: number;
  readonly copy: PanelCopy;
  /** From one row of C to the next; its rows hold whole panels. */
  readonly cRow: number;
  /** The numbers of rows, less than a tile, that may be left over. */
  readonly tails: readonly number[];
}

/**
 * The function `gemm(a, b, c, rows, columns, k, accumulate, panel)`, by index: C = A · B, added to what C holds if `accumulate`
 * is not 0. `panel` is room for one panel where they are copied. Each sum runs over k in order.
 */
export const gemmFunction = (module: ModuleBuilder, target: Target, layout: GemmLayout): number =>
  module.helper(`gemm ${JSON.stringify(layout)}`, () => new GemmBuilder(module, target, layout).build());

class GemmBuilder {
  private readonly f = new FunctionBuilder(Array.from({ length: 8 }, () => 'i32'));
  private readonly a = this.f.param(0);
  private readonly b = this.f.param(1);
  private readonly c = this.f.param(2);
  private readonly rows = this.f.param(3);
  private readonly columns = this.f.param(4);
  private readonly k = this.f.param(5);
  private readonly accumulate = this.f.param(6);
  private readonly panel = this.f.param(7);
  private readonly height: number;
  private readonly aTile = this.f.local('i32');
  private readonly bTile = this.f.local('i32');
  private readonly bStep = this.f.local('i32');
  private readonly cTile = this.f.local('i32');
  private readonly left = this.f.local('i32');
  private readonly steps = this.f.local('i32');
  private readonly aAt = this.f.local('i32');
  private readonly bAt = this.f.local('i32');
  private readonly copyAt = this.f.local('i32');
  private readonly low = this.f.local('v128');
  private readonly high = this.f.local('v128');
  private readonly element = this.f.local('v128');
  private readonly sums: readonly Local[];

  constructor(
    private readonly module: ModuleBuilder,
    private readonly target: Target,
    private readonly layout: GemmLayout,
  ) {
    this.height = tileRows(target);
    this.sums = Array.from({ length: 2 * this.height }, () => this.f.local('v128'));
  }

  build(): FunctionBuilder {
    const { columns, layout } = this;
    this.f.body = ifElse(
      op('i32.gt_s', columns.get, i32(0)),
      doWhile(
        [
          this.onePanel(),
          this.b.add(layout.bPanel),
          this.c.add(4 * panelColumns),
          columns.add(-panelColumns),
        ],
        op('i32.gt_s', columns.get, i32(0)),
      ),
    );
    return this.f;
  }

  /** All tiles over one panel of B. */
  private onePanel(): Code {
    const { layout, left, height } = this;
    const whole = op('i32.ge_s', left.get, i32(height));
    const next = [this.aTile.add(layout.aTile), this.cTile.add(height * layout.cRow), left.add(-height)];
    const copies = layout.copy === 'whileReading';
    const inPanel = [this.bTile.set(this.panel.get), this.bStep.set(i32(panelStep))];
    // Where the tiles after the first read the copy, the stride is known again; only smaller tiles must ask.
    const step = copies || typeof layout.copy === 'object' ? i32(panelStep) : i32(layout.bStep);
    return [
      this.aTile.set(this.a.get),
      this.bTile.set(this.b.get),
      this.bStep.set(i32(layout.bStep)),
      this.cTile.set(this.c.get),
      left.set(this.rows.get),
      typeof layout.copy === 'object' ? [this.pack(layout.copy), inPanel] : [],
      copies ? ifElse(whole, [this.tile(height, i32(layout.bStep), true), next, inPanel]) : [],
      ifElse(whole, doWhile([this.tile(height, step, false), next], whole)),
      layout.tails
        .filter((count) => count > 0 && count < height)
        .map((count) =>
          ifElse(op('i32.eq', left.get, i32(count)), this.tile(count, copies ? this.bStep.get : step, false)),
        ),
    ];
  }

  /** Packs the panel of B. */
  private pack({ pack, lastColumns }: Exclude<PanelCopy, string>): Code {
    const run = (count: number): Code =>
      call(packFunction(this.module, pack, count), this.b.get, this.panel.get, this.k.get);
    const ragged = lastColumns < panelColumns;
    return ragged
      ? ifElse(op('i32.lt_s', this.columns.get, i32(panelColumns)), run(lastColumns), run(panelColumns))
      : run(panelColumns);
  }

  /** One tile of `count` rows. */
  private tile(count: number, bStep: Code, copies: boolean): Code {
    const { layout, aAt, bAt, copyAt, cTile, low, high, element, steps } = this;
    const each = (visit: (sum: Local, offset: number) => Code): Code =>
      Array.from({ length: 2 * count }, (_, number) =>
        visit(this.sums[number] as Local, (number >> 1) * layout.cRow + 16 * (number & 1)),
      );
    const row = (number: number): Code => {
      const [left, right] = [this.sums[2 * number] as Local, this.sums[2 * number + 1] as Local];
      return [
        element.set(load('v128.load32_splat', aAt.get, number * layout.aRow)),
        left.set(madd(this.target, element.get, low.get, left.get)),
        right.set(madd(this.target, element.get, high.get, right.get)),
      ];
    };
    const step = [
      low.set(load('v128.load', bAt.get)),
      high.set(load('v128.load', bAt.get, 16)),
      copies
        ? [storeVector(copyAt.get, low.get), storeVector(copyAt.get, high.get, 16), copyAt.add(panelStep)]
        : [],
      Array.from({ length: count }, (_, number) => [
        row(number),
        count > 4 && number < count - 1 ? this.keepInPlace(number) : [],
      ]),
      aAt.add(layout.aStep),
      bAt.set(op('i32.add', bAt.get, bStep)),
      steps.add(-1),
    ];
    return [
      ifElse(
        this.accumulate.get,
        each((sum, offset) => sum.set(load('v128.load', cTile.get, offset))),
        each((sum) => sum.set(i32x4(0))),
      ),
      aAt.set(this.aTile.get),
      bAt.set(this.bTile.get),
      copies ? copyAt.set(this.panel.get) : [],
      steps.set(this.k.get),
      ifElse(steps.get, doWhile(step, steps.get)),
      each((sum, offset) => storeVector(cTile.get, sum.get, offset)),
    ];
  }

  /**
   * Leaves the loop over k if a number of steps is left that cannot be: never. V8 gathers all loads of a block at its
   * start, and a tall tile's elements of A would not fit into the registers; past a way out it moves neither the loads
   * behind nor the sums before, which are wanted there.
   */
  private keepInPlace(number: number): Code {
    return leaveIf(op('i32.eq', this.steps.get, i32(-1 - number)));
  }
}
