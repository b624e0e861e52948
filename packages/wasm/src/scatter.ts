/**
 * Scatter-add: each item owns some columns of one batch element, clears them, and adds the updates in their order.
 */
import type { Launch, ScatterAddKernel } from '@clipin/kernel';
import { type Code, i32, i32x4, ifElse, loadInt, op, plus, times } from './code';
import { type CompiledKernel, Frame } from './frame';
import { loadVector, storeVectorLanes } from './memory-access';
import type { Local } from './module';
import { combine } from './scalar';

/** Columns of an item: a line of cache. */
const blockColumns = 16;

/** Code for a scatter-add. */
export function compileScatterAdd(launch: Launch, kernel: ScatterAddKernel): CompiledKernel {
  const { batch, rows, count, width, dtype } = kernel;
  const frame = new Frame(launch);
  const { f } = frame;
  const blocks = Math.ceil(width / blockColumns);
  const rowBytes = width * 4;
  const to = f.local('i32');
  const from = f.local('i32');
  const at = f.local('i32');
  const index = f.local('i32');
  const row = f.local('i32');
  const position = f.local('i32');

  const columns = (lanes: readonly number[]): Code => {
    const sums = lanes.map(() => f.local('v128'));
    return [
      at.set(to.get),
      f.loop(row, i32(0), i32(rows), [
        lanes.map((lane, u) => storeVectorLanes(plus(at.get, 16 * u), i32x4(0), lane)),
        at.add(rowBytes),
      ]),
      f.loop(position, i32(0), i32(count), [
        row.set(loadInt(index.get)),
        at.set(op('i32.add', to.get, times(row.get, rowBytes))),
        ifElse(
          op('i32.lt_u', row.get, i32(rows)),
          lanes.map((lane, u) => {
            const sum = sums[u] as Local;
            const address = plus(at.get, 16 * u);
            const added = combine(
              'add',
              dtype,
              loadVector(f, address, 1, lane),
              loadVector(f, plus(from.get, 16 * u), 1, lane),
            );
            return [sum.set(added), storeVectorLanes(address, sum.get, lane)];
          }),
        ),
        index.add(4),
        from.add(rowBytes),
      ]),
    ];
  };

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [batch, blocks]);
    const [outer, block] = indices as [Local, Local];
    const column = times(block.get, blockColumns * 4);
    const start = (base: Local | undefined, size: number): Code =>
      op('i32.add', (base as Local).get, times(outer.get, size * 4));
    const left = width - (blocks - 1) * blockColumns;
    const lanesLeft = Array.from({ length: Math.ceil(left / 4) }, (_, u) => Math.min(4, left - 4 * u));
    const full = [4, 4, 4, 4];
    return [
      code,
      index.set(start(frame.inputs[0], count)),
      from.set(op('i32.add', start(frame.inputs[1], count * width), column)),
      to.set(op('i32.add', start(frame.outputs[0], rows * width), column)),
      blocks === 1
        ? columns(lanesLeft)
        : left === blockColumns
          ? columns(full)
          : ifElse(op('i32.eq', block.get, i32(blocks - 1)), columns(lanesLeft), columns(full)),
    ];
  };
  const cost = (rows * 0.5 + count * 2) * Math.min(4, Math.ceil(width / 4));
  return { stages: [frame.close(body, batch * blocks, cost)], sharedBytes: 0, threadBytes: 0 };
}
