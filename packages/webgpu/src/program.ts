/**
 * A loaded program: its dispatches with pipelines, parameter block, and the bind groups of the buffers it last ran on. A
 * replay is a loop over steps that allocates nothing.
 */
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
/**
 * Bind groups kept for each dispatch. A loop that donates its state moves it round among buffers of one size and comes
 * back to the same few choices: one for each buffer that takes part.
 */
const groupsKept = 16;

/** A bind group and the buffers it binds. */
interface BoundGroup {
  readonly blocks: readonly Block[];
  readonly group: GPUBindGroup;
}

interface Step {
  readonly pipeline: Pipeline;
  readonly workgroups: readonly [number, number];
  /** Places of its buffers among the blocks of a run. */
  readonly places: readonly number[];
  /** Byte offset and size of its parameters. */
  readonly offset: number;
  readonly size: number;
  readonly groups: BoundGroup[];
}

/** Dispatches of a list of launches, and the bytes of scratch they need. */
export class CompiledProgram {
  private readonly steps: readonly Step[];
  /** Positions of the buffer table that the program touches: the first blocks of a run; scratch follows. */
  readonly numbers: readonly number[];
  readonly scratchBytes: readonly number[];
  readonly params: GPUBuffer | undefined;
  private pending: readonly Promise<void>[];

  /** Writes the code of launches and starts compiling it. */
  constructor(
    private readonly device: GPUDevice,
    pipelines: Pipelines,
    profile: Profile,
    launches: readonly Launch[],
  ) {
    const { dispatches, scratchBytes } = writeCode(launches, profile);
    const numbers = new Set(dispatches.flatMap(({ buffers }) => buffers.map(({ number }) => number)));
    this.numbers = [...numbers].filter((number) => number >= 0);
    this.scratchBytes = scratchBytes;
    const places = new Map(this.numbers.map((number, place) => [number, place]));
    scratchBytes.forEach((_, i) => {
      places.set(-1 - i, this.numbers.length + i);
    });
    let offset = 0;
    this.steps = dispatches.map((dispatch) => {
      const { buffers, workgroups, words } = dispatch;
      const size = Math.ceil(words.length / 4) * 16;
      const step: Step = {
        pipeline: pipelines.get(dispatch),
        workgroups,
        places: buffers.map(({ number }) => places.get(number) as number),
        offset,
        size,
        groups: [],
      };
      offset += Math.ceil(size / blockBytes) * blockBytes;
      return step;
    });
    this.params = dispatches.length ? this.uploadParams(dispatches, offset) : undefined;
    this.pending = [...new Set(this.steps.map(({ pipeline }) => pipeline.ready))];
  }

  private uploadParams(dispatches: readonly Dispatch[], bytes: number): GPUBuffer {
    const params = this.device.createBuffer({ size: bytes, usage: 0x40, mappedAtCreation: true });
    const words = new Int32Array(params.getMappedRange());
    this.steps.forEach(({ offset }, i) => {
      words.set((dispatches[i] as Dispatch).words, offset / 4);
    });
    params.unmap();
    return params;
  }

  /** Promises of the pipelines that are not compiled yet. */
  get notReady(): readonly Promise<void>[] {
    if (this.pending.length && this.steps.every(({ pipeline }) => pipeline.gpu)) this.pending = [];
    return this.pending;
  }

  /**
   * Records the program into the open pass.
   *
   * @param blocks - the memory of `numbers`, then scratch; not kept
   */
  record(queue: CommandQueue, blocks: readonly Block[]): void {
    for (const step of this.steps) {
      const { pipeline, workgroups } = step;
      const group = knownGroup(step, blocks) ?? this.bind(step, blocks);
      queue.dispatch(pipeline.gpu as GPUComputePipeline, group, workgroups[0], workgroups[1]);
    }
  }

  private bind(step: Step, all: readonly Block[]): GPUBindGroup {
    const blocks = step.places.map((place) => all[place] as Block);
    const params = { buffer: this.params as GPUBuffer, offset: step.offset, size: step.size };
    const group = this.device.createBindGroup({
      layout: step.pipeline.layout,
      entries: [
        { binding: 0, resource: params },
        ...blocks.map(({ gpu }, i) => ({ binding: i + 1, resource: { buffer: gpu } })),
      ],
    });
    if (step.groups.length === groupsKept) step.groups.shift();
    step.groups.push({ blocks, group });
    return group;
  }
}

/** The bind group of these buffers, if they were bound lately. Runs for every kernel of every replay. */
function knownGroup({ places, groups }: Step, all: readonly Block[]): GPUBindGroup | undefined {
  for (let g = groups.length - 1; g >= 0; g--) {
    const { blocks, group } = groups[g] as BoundGroup;
    let i = 0;
    while (i < places.length && blocks[i] === all[places[i] as number]) i++;
    if (i === places.length) return group;
  }
  return undefined;
}

function writeCode(
  launches: readonly Launch[],
  profile: Profile,
): { dispatches: readonly Dispatch[]; scratchBytes: readonly number[] } {
  const scratchBytes: number[] = [];
  const dispatches: Dispatch[] = [];
  for (const launch of launches) {
    const { tasks, scratch } = lower(launch, profile);
    scratch.forEach((elements, i) => {
      scratchBytes[i] = Math.max(scratchBytes[i] ?? 0, elements * 4);
    });
    dispatches.push(...tasks.flatMap((task) => generate(task, profile) ?? []));
  }
  return { dispatches, scratchBytes };
}
