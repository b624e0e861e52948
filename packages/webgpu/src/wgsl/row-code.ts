/**
 * Row kernels: every row is walked once for each pass of folds and once to store. On hardware a workgroup shares a row, and
 * folds what its invocations found pairwise in workgroup memory; drivers on the CPU give each row to one invocation.
 * Four lanes lie along the row where its length allows it. The order of every fold is fixed.
 */
import {
  type Affine,
  argumentsOf,
  contiguousStrides,
  type DType,
  type RowKernel,
  rowPasses,
  sizeOf,
} from '@clipin/kernel';
import { writeIndices } from './loop-code';
import type { Profile } from './profile';
import {
  type Scope,
  unpackFor,
  unpackStores,
  type Value,
  widen,
  writeProgram,
  writeStore,
} from './program-code';
import { foldSubgroups, plainWorkgroup, sharers } from './reduction-code';
import { foldCode, startCode } from './scalar-code';
import { type Lanes, Shader, typeName } from './shader';
import type { Dispatch, Task } from './task';

/** The dispatch of a row kernel. */
export function rowCode(task: Task<RowKernel>, profile: Profile): Dispatch {
  const writer = new RowCode(task, profile);
  writer.write();
  return writer.finish();
}

class RowCode {
  private readonly kernel: RowKernel;
  private readonly shader: Shader;
  private readonly passes;
  private readonly rows: number;
  /** Invocations that share a row. */
  private readonly shared: number;
  /** Invocations of a workgroup. */
  private readonly size: number;
  private readonly lanes: Lanes;
  private readonly laneAxis: number | undefined;
  private readonly places: readonly Affine[];
  /** Values known where no loop runs, by instruction: what is the same along the row. */
  private readonly values: (Value | undefined)[] = [];
  private outer: string[] = [];
  private readonly declared = new Set<string>();

  constructor(
    private readonly task: Task<RowKernel>,
    private readonly profile: Profile,
  ) {
    const { axes, row, program, stores, rowStores } = task.kernel;
    this.kernel = task.kernel;
    this.shader = new Shader(task);
    this.passes = rowPasses(task.kernel);
    this.rows = sizeOf(axes);
    const last = row[row.length - 1] ?? 1;
    this.shared = sharers('inner', sizeOf(row), profile);
    this.size = this.shared > 1 ? this.shared : plainWorkgroup(profile);
    this.lanes = last % 4 === 0 ? 4 : 1;
    this.laneAxis = this.lanes === 4 ? axes.length + row.length - 1 : undefined;
    const strides = contiguousStrides([...axes, ...row]);
    this.places = stores.map(() => ({ offset: 0, strides }));
    unpackFor(this.shader, program, { laneAxis: this.laneAxis });
    unpackStores(this.shader, this.places, this.laneAxis, false);
    rowStores.forEach((_, i) => {
      this.shader.unpack(this.shader.outputNumber(stores.length + i));
    });
  }

  write(): void {
    const { shader, kernel, passes } = this;
    if (this.shared === 1) {
      shader.line(`let id = group * ${this.size}u + lane;`);
      shader.line(`if (id >= u32(${shader.param(this.rows)})) { return; }`);
    }
    this.outer = writeIndices(shader, this.shared > 1 ? 'group' : 'id', kernel.axes);
    for (let pass = 0; pass < passes.count; pass++) {
      this.writeStill(pass);
      this.writeFolds(pass);
    }
    this.writeStill(passes.count);
    if (kernel.stores.length > 0) {
      this.walk(kernel.stores, (scope, values) => {
        kernel.stores.forEach((instruction, output) => {
          const number = shader.outputNumber(output);
          writeStore(scope, values[instruction] as Value, number, this.places[output] as Affine);
        });
      });
    }
    this.writeEnds();
  }

  finish(): Dispatch {
    return this.shader.finish(this.shared > 1 ? this.rows : Math.ceil(this.rows / this.size), this.size);
  }

  /** What is the same along the row and can be computed in this pass. */
  private writeStill(pass: number): void {
    const { program } = this.kernel;
    const scope: Scope = { shader: this.shader, indices: this.outer, laneAxis: this.laneAxis };
    const wanted = (at: number) =>
      !this.passes.varies[at] && this.passes.pass[at] === pass && program[at]?.op !== 'reduced';
    writeProgram(scope, program, wanted, this.values);
  }

  /** A loop over the row that computes the instructions `of` and those they need. */
  private walk(
    of: readonly number[],
    body: (scope: Scope, values: readonly (Value | undefined)[]) => void,
  ): void {
    const { shader, kernel, lanes, shared } = this;
    const { row, program } = kernel;
    const needed = new Set<number>();
    const stack = [...of];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (needed.has(at) || !this.passes.varies[at]) continue;
      needed.add(at);
      const step = program[at];
      if (step) stack.push(...argumentsOf(step));
    }
    const end = shader.param(sizeOf(row) / lanes);
    shader.line(`for (var point = ${shared > 1 ? 'i32(lane)' : '0'}; point < ${end}; point += ${shared}) {`);
    const sizes = row.map((n, axis) => (axis === row.length - 1 ? n / lanes : n));
    const inner = writeIndices(shader, 'u32(point)', sizes);
    if (lanes === 4) inner[inner.length - 1] = shader.let('i', `${inner[inner.length - 1]} * 4`);
    const scope: Scope = { shader, indices: [...this.outer, ...inner], laneAxis: this.laneAxis };
    body(
      scope,
      writeProgram(scope, program, (at) => needed.has(at), [...this.values]),
    );
    shader.line('}');
  }

  private writeFolds(pass: number): void {
    const { shader, kernel, lanes } = this;
    const folds = kernel.folds.flatMap(({ op, of }, fold) => {
      if (this.passes.pass[of] !== pass) return [];
      const dtype = kernel.program[of]?.dtype as DType;
      const join = (a: string, b: string, width = lanes) => foldCode(shader, op, dtype, width, a, b);
      return [{ op, of, fold, dtype, join, name: shader.name('acc') }];
    });
    for (const { op, dtype, name } of folds)
      shader.line(`var ${name} = ${typeName(dtype, lanes)}(${startCode(shader, op, dtype)});`);
    this.walk(
      folds.map(({ of }) => of),
      (_, values) => {
        for (const { of, join, name } of folds)
          shader.line(`${name} = ${join(name, widen(values[of] as Value, lanes))};`);
      },
    );
    for (const { fold, dtype, join, name } of folds) {
      if (this.shared > 1) this.writeTree(name, dtype, join);
      const total =
        lanes === 1
          ? shader.let('t', name)
          : shader.let(
              't',
              join(
                shader.let('h', join(`${name}.x`, `${name}.y`, 1)),
                shader.let('h', join(`${name}.z`, `${name}.w`, 1)),
                1,
              ),
            );
      kernel.program.forEach((step, at) => {
        if (step.op === 'reduced' && (step.fold ?? 0) === fold)
          this.values[at] = { name: total, lanes: 1, dtype };
      });
    }
  }

  /** Folds what the invocations of a workgroup have, pairwise; afterwards all have the result. */
  private writeTree(name: string, dtype: DType, join: (a: string, b: string) => string): void {
    const { shader, size } = this;
    const { subgroup } = this.profile;
    const folded = foldSubgroups(shader, name, { size, subgroup }, (a, b) => join(a, b));
    if (folded === size) return;
    const partial = `partial_${dtype}`;
    const array = `var<workgroup> ${partial}: array<${typeName(dtype, this.lanes)}, ${size}>;`;
    // All folds of a dtype use the same memory, one after the other: there may be many, and it is small.
    if (this.declared.has(partial)) shader.line('workgroupBarrier();');
    else shader.declare(array);
    this.declared.add(partial);
    shader.line(`${partial}[lane] = ${name};`);
    shader.line('workgroupBarrier();');
    shader.line(`for (var half = ${size / 2}u; half >= ${folded}u; half /= 2u) {`);
    shader.line(
      `if (lane < half) { ${partial}[lane] = ${join(`${partial}[lane]`, `${partial}[lane + half]`)}; }`,
    );
    shader.line('workgroupBarrier();');
    shader.line('}');
    shader.line(`${name} = ${partial}[0];`);
  }

  /** What is stored once for each row, when all invocations are done with it. */
  private writeEnds(): void {
    const { shader, kernel, task } = this;
    const first = kernel.stores.length;
    if (kernel.rowStores.length === 0) return;
    if (this.shared > 1) {
      shader.line('workgroupBarrier();');
      shader.line('if (lane > 0u) { return; }');
    }
    const scope: Scope = { shader, indices: this.outer };
    const place = { offset: 0, strides: contiguousStrides(kernel.axes) };
    kernel.rowStores.forEach((instruction, i) => {
      writeStore(scope, this.values[instruction] as Value, task.outputs[first + i] as number, place);
    });
  }
}
