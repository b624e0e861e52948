/** How the training step of ours grows with batch, tokens, width and depth of a transformer, one of them at a time. */
import { availableParallelism, tmpdir } from 'node:os';
import { summarize } from '../harness';
import { start } from '../libraries/clip-in';
import { type BlockSizes, blockOperations, blockSizes, blockStep } from '../works/block-step';
import { print } from './apart';

/** One point of a curve. */
export interface GrowthPoint {
  readonly axis: keyof typeof axes;
  readonly size: number;
  readonly milliseconds: number;
  readonly quartiles: readonly [number, number];
  /** Of the matrix products and of attention. */
  readonly operations: number;
}

const axes = {
  batch: [1, 2, 4, 8, 16, 32],
  tokens: [16, 32, 64, 128, 256, 512],
  width: [32, 64, 128, 256, 512],
  depth: [1, 2, 4, 8],
} as const;
/** Each point is timed for so long, and five runs at least. */
const secondsEach = 0.5;

const { abilities } = await start({
  device: 'wasm',
  threads: Math.min(availableParallelism(), 16),
  blas: false,
});
const points: GrowthPoint[] = [];
for (const axis of Object.keys(axes) as (keyof typeof axes)[]) {
  for (const size of axes[axis]) points.push(await measure(axis, size));
}
print(points);

async function measure(axis: keyof typeof axes, size: number): Promise<GrowthPoint> {
  const sizes: BlockSizes = { ...blockSizes, [axis]: size };
  const task = await abilities.blockStep!(await blockStep(sizes).problem(tmpdir()));
  for (let run = 0; run < 3; run++) await task.run();
  const seconds: number[] = [];
  const begin = performance.now();
  while (seconds.length < 5 || performance.now() - begin < 1000 * secondsEach) {
    const started = performance.now();
    await task.run();
    seconds.push((performance.now() - started) / 1000);
  }
  const { median, quartiles } = summarize(seconds);
  const [low, high] = quartiles;
  return {
    axis,
    size,
    milliseconds: 1000 * median,
    quartiles: [1000 * low, 1000 * high],
    operations: blockOperations(sizes),
  };
}
