/** A loaded program: its dispatches with pipelines, parameter block, and the bind groups of the buffers it last ran on. */
import type { Launch } from '@clipin/kernel';
import type { Pipeline, Pipelines } from './pipelines';
import type { Block } from './pool';
import type { CommandQueue } from './queue';
import { generate } from './wgsl/generate';
import { lower } from './wgsl/lower';
import type { Profile } from './wgsl/profile';
import type { Dispatch } from './wgsl/task';

/** Parameter blocks lie this many bytes apart, as every adapter allows. */
const blockBytes = 256;
/** Bind groups kept for each dispatch: programs that swap buffers between runs come back to the same few. */
const groupsKept = 4;

interface Step {
  readonly dispatch: Dispatch;
  readonly pipeline: Pipeline;
  /** Byte offset and size of its parameters. */
  readonly offset: number;
  readonly size: number;
  readonly groups: { readonly ids: readonly number[]; readonly group: GPUBindGroup }[];
}

/** Dispatches of a list of launches, and the bytes of scratch they need. */
export interface CompiledProgram {
  readonly steps: readonly Step[];
  readonly params: GPUBuffer | undefined;
  readonly scratchBytes: readonly number[];
  /** Positions of the buffer table that the program touches. */
  readonly numbers: readonly number[];
}

/** Writes the code of launches and starts compiling it. */
export function compileProgram(
  device: GPUDevice,
  pipelines: Pipelines,
  profile: Profile,
  launches: readonly Launch[],
): CompiledProgram {
  const scratchBytes: number[] = [];
  const steps: Step[] = [];
  let offset = 0;
  for (const launch of launches) {
    const { tasks, scratch } = lower(launch, profile);
    scratch.forEach((elements, i) => {
      scratchBytes[i] = Math.max(scratchBytes[i] ?? 0, elements * 4);
    });
    for (const task of tasks) {
      const dispatch = generate(task, profile);
      if (!dispatch) continue;
      const size = Math.ceil(dispatch.words.length / 4) * 16;
      steps.push({ dispatch, pipeline: pipelines.get(dispatch), offset, size, groups: [] });
      offset += Math.ceil(size / blockBytes) * blockBytes;
    }
  }
  const numbers = new Set(steps.flatMap(({ dispatch }) => dispatch.buffers.map(({ number }) => number)));
  return {
    steps,
    params: steps.length ? uploadParams(device, steps, offset) : undefined,
    scratchBytes,
    numbers: [...numbers].filter((number) => number >= 0),
  };
}

function uploadParams(device: GPUDevice, steps: readonly Step[], bytes: number): GPUBuffer {
  const params = device.createBuffer({ size: bytes, usage: 0x40, mappedAtCreation: true });
  const words = new Int32Array(params.getMappedRange());
  for (const { dispatch, offset } of steps) words.set(dispatch.words, offset / 4);
  params.unmap();
  return params;
}

/** Promises of the pipelines that are not compiled yet. */
export const notReady = ({ steps }: CompiledProgram): Promise<void>[] => [
  ...new Set(steps.filter(({ pipeline }) => !pipeline.gpu).map(({ pipeline }) => pipeline.ready)),
];

/**
 * Records a program into the open pass.
 *
 * @param table - the memory of every buffer number: of the table, and scratch below 0
 */
export function recordProgram(
  device: GPUDevice,
  queue: CommandQueue,
  program: CompiledProgram,
  table: ReadonlyMap<number, Block>,
): void {
  for (const step of program.steps) {
    const blocks = step.dispatch.buffers.map(({ number }) => table.get(number) as Block);
    const group = bindGroup(device, program.params as GPUBuffer, step, blocks);
    const pass = queue.compute();
    pass.setPipeline(step.pipeline.gpu as GPUComputePipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...step.dispatch.workgroups);
    queue.dispatched();
  }
}

function bindGroup(device: GPUDevice, params: GPUBuffer, step: Step, blocks: readonly Block[]): GPUBindGroup {
  const known = step.groups.find(({ ids }) => ids.every((id, i) => id === blocks[i]?.id));
  if (known) return known.group;
  const group = device.createBindGroup({
    layout: step.pipeline.layout,
    entries: [
      { binding: 0, resource: { buffer: params, offset: step.offset, size: step.size } },
      ...blocks.map(({ gpu }, i) => ({ binding: i + 1, resource: { buffer: gpu } })),
    ],
  });
  if (step.groups.length === groupsKept) step.groups.shift();
  step.groups.push({ ids: blocks.map(({ id }) => id), group });
  return group;
}
