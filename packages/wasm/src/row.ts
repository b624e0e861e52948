/**
 * Row kernels: an item is one row, walked once for the folds of each pass and once to store, with lanes along it. What
 * it reads stays in the first cache between the walks. Threads share rows, so bits do not depend on them.
 */
import { contiguousStrides, type Instruction, type Launch, type RowKernel, sizeOf } from '@clipin/kernel';
import { type Code, i32, i32x4, op, plus, shuffle } from './code';
import { type CompiledKernel, elementAddress, Frame } from './frame';
import { elementCost, storeAll, walkVectors } from './loop';
import type { Target } from './math';
import { storeVectorLanes, toMemory } from './memory-access';
import type { Local } from './module';
import { ProgramEmitter } from './program';
import { foldStart, foldValues } from './reduce';
import { foldPlace, planRow, type RowPass } from './row-plan';

type Place = readonly (Code | undefined)[];

/** Code for a simplified row kernel. */
export function compileRow(launch: Launch, kernel: RowKernel, target: Target): CompiledKernel {
  const { axes, stores } = kernel;
  const row = kernel.row.length === 0 ? [1] : kernel.row;
  const plan = planRow({ ...kernel, row }, launch.inputs.length);
  const frame = new Frame(launch);
  const { f } = frame;
  const inputs = [...frame.inputs, frame.own];
  const rank = axes.length;
  const last = rank + row.length - 1;
  const size = row[row.length - 1] as number;
  const strides = contiguousStrides([...axes, ...row]);
  const emitterAt = (program: readonly Instruction[], indices: Place, looped: number) =>
    new ProgramEmitter({ f, target, inputs, indices, vector: last, looped }, program);

  /** Loops over the axes of the row but the last, around `inner`. */
  const around = (outer: Place, inner: (place: Place) => Code): Code => {
    const loops = row.slice(0, -1).map((end) => ({ end, index: f.local('i32') }));
    const place = [...outer, ...loops.map(({ index }) => index.get), undefined];
    return loops.reduceRight<Code>(
      (body, { end, index }) => f.loop(index, i32(0), i32(end), body),
      inner(place),
    );
  };

  const passCode = (pass: RowPass, outer: Place): Code => {
    const unroll = size >= 64 && pass.program.length <= 12 ? 4 : size >= 16 ? 2 : 1;
    const folds = pass.folds.map(({ fold, of }) => ({
      at: foldPlace(fold) * 4,
      of,
      reduction: {
        op: (kernel.folds[fold] as RowKernel['folds'][number]).op,
        dtype: (pass.program[of] as Instruction).dtype,
      },
      sums: Array.from({ length: unroll }, () => f.local('v128')),
    }));
    const addresses = pass.stores.map(() => f.local('i32'));
    const kept = pass.keeps.map(() => f.local('i32'));

    const walk = (place: Place): Code => {
      const position = f.local('i32');
      const emitter = emitterAt(pass.program, place, last);
      const emit = (lanes: readonly number[]): Code => [
        emitter.turn(lanes),
        folds.map(({ of, reduction, sums }) =>
          lanes.map((count, u) => {
            const sum = sums[u] as Local;
            const value = emitter.value(of, u).get;
            const mask = i32x4(-1, count > 1 ? -1 : 0, count > 2 ? -1 : 0, count > 3 ? -1 : 0);
            const masked = count === 4 ? value : op('v128.bitselect', value, foldStart(reduction), mask);
            return sum.set(foldValues(reduction, sum.get, masked));
          }),
        ),
        pass.keeps.map(({ of }, i) =>
          lanes.map((count, u) => {
            const value = f.local('v128');
            const address = plus((kept[i] as Local).get, 16 * u);
            const { dtype } = pass.program[of] as Instruction;
            return [
              value.set(toMemory(dtype, emitter.value(of, u).get)),
              storeVectorLanes(address, value.get, count),
            ];
          }),
        ),
        storeAll(f, emitter, pass, launch.outputTypes, addresses, lanes),
        emitter.advance(4 * lanes.length),
        [...addresses, ...kept].map((address) => address.add(16 * lanes.length)),
      ];
      const ofRow = strides.map((stride, axis) => (axis < rank ? 0 : stride));
      return [
        addresses.map((address, output) =>
          address.set(elementAddress((frame.outputs[output] as Local).get, place, strides)),
        ),
        kept.map((address, i) =>
          address.set(
            elementAddress(frame.own.get, place, ofRow, (pass.keeps[i] as RowPass['keeps'][number]).at),
          ),
        ),
        emitter.before(new Array<number>(unroll).fill(4)),
        position.set(i32(0)),
        walkVectors(position, i32(size), size, unroll, emit),
      ];
    };

    return [
      folds.map(({ reduction, sums }) => sums.map((sum) => sum.set(foldStart(reduction)))),
      around(outer, walk),
      folds.map(({ at, reduction, sums }) => {
        const total = sums[0] as Local;
        const join = (other: Code): Code => total.set(foldValues(reduction, total.get, other));
        return [
          sums.slice(1).map((sum) => join(sum.get)),
          join(shuffle(total.get, total.get, [2, 3, 0, 1])),
          join(shuffle(total.get, total.get, [1, 0, 3, 2])),
          total.set(toMemory(reduction.dtype, total.get)),
          storeVectorLanes(plus(frame.own.get, at), total.get, 1),
        ];
      }),
    ];
  };

  /** What is stored once for the row: values before the row is stored, since outputs may be inputs. */
  const ends = (outer: Place): { values: Code; stores: Code } => {
    const addresses = plan.ends.stores.map(() => f.local('i32'));
    const emitter = emitterAt(plan.ends.program, outer, -1);
    const outputs = frame.outputs.slice(stores.length);
    const types = launch.outputTypes.slice(stores.length);
    return {
      values: emitter.before([1]),
      stores: [
        addresses.map((address, i) =>
          address.set(elementAddress((outputs[i] as Local).get, outer, contiguousStrides(axes))),
        ),
        storeAll(f, emitter, plan.ends, types, addresses, [1]),
      ],
    };
  };

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, axes);
    const outer = indices.map((index) => index.get);
    const folding = plan.passes.filter(({ folds }) => folds.length > 0);
    const storing = plan.passes.filter(({ folds }) => folds.length === 0);
    const end = ends(outer);
    return [
      code,
      folding.map((pass) => passCode(pass, outer)),
      end.values,
      storing.map((pass) => passCode(pass, outer)),
      end.stores,
    ];
  };
  const perPoint = plan.passes.reduce((sum, { program }) => sum + elementCost(program), 0);
  return {
    stages: [frame.close(body, sizeOf(axes), 20 + sizeOf(row) * perPoint)],
    sharedBytes: 0,
    threadBytes: plan.scratchElements * 4,
  };
}
