/**
 * What all generated kernel functions have in common: their parameters, the way they walk their items, and the stages
 * that a launch consists of.
 */
import type { Launch } from '@clipin/kernel';
import { type Code, i32, loadInt, op, plus } from './code';
import { FunctionBuilder, type Local } from './module';

/** A function over items, to be shared among threads; stages of a launch run one after the other. */
export interface Stage {
  readonly function: FunctionBuilder;
  /** Items are independent of each other. */
  readonly items: number;
  /** Rough time of one item in nanoseconds, for the size of the pieces that threads take. */
  readonly cost: number;
}

/** Code for one kernel. */
export interface CompiledKernel {
  readonly stages: readonly Stage[];
  /** Bytes of scratch memory that the stages share. */
  readonly sharedBytes: number;
  /** Bytes of scratch memory that each thread needs for itself. */
  readonly threadBytes: number;
}

/** A kernel function under construction: `run(pointers, begin, end, shared, own)`. */
export class Frame {
  readonly f = new FunctionBuilder(['i32', 'i32', 'i32', 'i32', 'i32']);
  readonly inputs: readonly Local[];
  readonly outputs: readonly Local[];
  /** Address of scratch memory shared by the stages of a launch. */
  readonly shared = this.f.param(3);
  /** Address of the thread's own scratch memory. */
  readonly own = this.f.param(4);

  private readonly pointers: readonly Local[];

  /** @param partial - whether one more input follows: partial results in shared scratch memory */
  constructor(launch: Launch, partial = false) {
    const inputs = launch.inputs.map(() => this.f.local('i32'));
    this.outputs = launch.outputs.map(() => this.f.local('i32'));
    this.pointers = [...inputs, ...this.outputs];
    this.inputs = partial ? [...inputs, this.shared] : inputs;
  }

  /** Takes `body` for each item of `[begin, end)`. */
  close(body: (item: Local) => Code, items: number, cost: number): Stage {
    const item = this.f.param(1);
    const pointers = this.pointers.map((local, slot) => local.set(loadInt(this.f.param(0).get, 4 * slot)));
    this.f.body = [pointers, this.f.count(item, this.f.param(2).get, 1, body(item))];
    return { function: this.f, items, cost };
  }

  /** Splits a number into indices of `axes`, the last axis fastest. Gives the locals and the code that fills them. */
  split(number: Code, axes: readonly number[]): { indices: Local[]; code: Code } {
    const indices = axes.map(() => this.f.local('i32'));
    const rest = this.f.local('i32');
    const code: Code[] = [rest.set(number)];
    for (let axis = axes.length - 1; axis > 0; axis--) {
      const size = i32(axes[axis] as number);
      code.push(
        (indices[axis] as Local).set(op('i32.rem_u', rest.get, size)),
        rest.set(op('i32.div_u', rest.get, size)),
      );
    }
    if (indices[0]) code.push(indices[0].set(rest.get));
    return { indices, code };
  }
}

/** `base + bytes · Σ strides[i] · indices[i]`: the address of an element. */
export function elementAddress(
  base: Code,
  indices: readonly (Code | undefined)[],
  strides: readonly number[],
  offset = 0,
  bytes = 4,
): Code {
  const terms = indices.flatMap((index, axis) => {
    const stride = strides[axis] ?? 0;
    return index === undefined || stride === 0 ? [] : [op('i32.mul', index, i32(stride * bytes))];
  });
  return plus(
    terms.reduce<Code>((sum, term) => op('i32.add', sum, term), base),
    offset * bytes,
  );
}
