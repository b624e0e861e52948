/** How kernels are scheduled on a kind of adapter: the few facts that change which code is written. */

/** Side of a matrix product's tile in workgroup memory. */
export type Tile = 32 | 64 | 128;

/** The tile for results of up to `most` · `most` elements. */
export interface TileChoice {
  readonly most: number;
  readonly tile: Tile;
}

/** What a subgroup multiplies at once where the adapter has matrix units: `m × k` by `k × n`, summed in f32. */
export interface MatrixUnit {
  /** The dtype that operands have to be in. */
  readonly component: 'f16' | 'f32';
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The most invocations that a subgroup has. */
  readonly lanes: number;
}

/** Facts about an adapter that choose schedules. */
export interface Profile {
  readonly name: 'software' | 'hardware';
  /**
   * Whether workgroup memory and barriers pay. On GPUs they do; drivers that compute on the CPU run them many times
   * slower than a register tile in each invocation.
   */
  readonly workgroupMemory: boolean;
  /** Bytes of workgroup memory that a kernel may take. */
  readonly workgroupBytes: number;
  /** The most invocations of a workgroup. */
  readonly workgroupSize: number;
  /** Invocations in a subgroup, where so many neighbours in a workgroup always are one; else 0. */
  readonly subgroup: number;
  /** Whether WGSL has f16, as the feature `shader-f16`. */
  readonly f16: boolean;
  /** The matrix units that a probe has found to be right, at most one of each component. */
  readonly matrixUnits: readonly MatrixUnit[];
  /** Invocations that keep the machine busy: sums are cut into pieces when there are fewer. */
  readonly invocations: number;
  /** Workgroups that keep the machine busy: matrix products are cut finer when there are fewer. */
  readonly workgroups: number;
  /** The tiles of matrix products by size, ascending, as they were timed on this adapter; empty: a rule chooses. */
  readonly tiles: readonly TileChoice[];
  /** The same for products on matrix units. */
  readonly unitTiles: readonly TileChoice[];
  /**
   * Storage buffers that a dispatch over many tensors may bind. With 0 it takes one tensor: drivers that compute on the CPU
   * run the code of all tensors in each invocation, and compile it for as long.
   */
  readonly foreachBuffers: number;
  /** The most scratch memory that one launch takes, in bytes. */
  readonly scratchBytes: number;
}

/** The two profiles, of adapters without subgroups, f16 and matrix units. */
export const profiles: Readonly<Record<Profile['name'], Profile>> = {
  software: {
    name: 'software',
    workgroupMemory: false,
    workgroupBytes: 16384,
    workgroupSize: 256,
    subgroup: 0,
    f16: false,
    matrixUnits: [],
    invocations: 64,
    workgroups: 1,
    tiles: [],
    unitTiles: [],
    foreachBuffers: 0,
    scratchBytes: 64 * 2 ** 20,
  },
  hardware: {
    name: 'hardware',
    workgroupMemory: true,
    workgroupBytes: 16384,
    workgroupSize: 256,
    subgroup: 0,
    f16: false,
    matrixUnits: [],
    invocations: 32768,
    workgroups: 256,
    tiles: [],
    unitTiles: [],
    foreachBuffers: 8,
    scratchBytes: 128 * 2 ** 20,
  },
};
