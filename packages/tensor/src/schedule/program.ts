/**
 * From lazy nodes to the scalar program of one kernel: walks from the root down to buffers, carrying the coordinates of
 * the element that is wanted, and emits each distinct instruction once.
 */
import {
  type Affine,
  contiguousStrides,
  type Guard,
  type Instruction,
  type Shape,
  sameShape,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import { type Coordinates, fixed, flatten, identity, isMovement, rangeOf, seeThrough } from './coordinates';
import { isLeaf, reshapeBase } from './graph';
import { InstructionList } from './instructions';

/** Says that a kernel cannot compute these nodes inside: they must be stored by kernels of their own first. */
export class CannotFuse extends Error {
  readonly nodes: readonly Node[];

  constructor(...nodes: readonly Node[]) {
    super(
      `${nodes.map(({ id, operation }) => `node ${id} (${operation.kind})`).join(', ')} must be stored first`,
    );
    this.nodes = nodes;
  }
}

/** What is decided about a kernel while its programs are written. */
export interface Draft {
  readonly root: Node;
  /** Nodes that kernels store. */
  readonly roots: Pick<ReadonlySet<Node>, 'has'>;
  /** Buffers that the kernel reads, in order of first use. */
  readonly inputs: Node[];
  /** The reduction or product that the kernel is built around, and where its result lies in the loops. */
  anchor?: { readonly node: Node; readonly coordinates: Coordinates };
}

/** The buffer whose elements, in the same order, `node` has: `node` itself or one that it reshapes. */
export function bufferBehind(node: Node, { root, roots }: Pick<Draft, 'root' | 'roots'>): Node | undefined {
  let base = node;
  const stored = () => isLeaf(base) || (roots.has(base) && base !== root);
  while (base.operation.kind === 'reshape' && !stored()) base = base.inputs[0] as Node;
  return stored() ? base : undefined;
}

/** The same, where there must be one. */
export function contiguousBase(node: Node, draft: Pick<Draft, 'root' | 'roots'>): Node {
  const base = bufferBehind(node, draft);
  if (!base) throw new CannotFuse(reshapeBase(node));
  return base;
}

/** The number of a buffer among the kernel's inputs. */
export function inputNumber(draft: Draft, node: Node): number {
  const known = draft.inputs.indexOf(node);
  return known >= 0 ? known : draft.inputs.push(node) - 1;
}

/** Writes one scalar program over loops of these extents. */
export class ProgramWriter {
  protected readonly list = new InstructionList();
  readonly #visited = new Map<string, number>();

  constructor(
    readonly draft: Draft,
    readonly extents: Shape,
    /** In the program of a reduction nothing can be anchored. */
    readonly inReduction: boolean,
  ) {}

  /** The program up to and including instruction `result`. */
  program(result: number): Instruction[] {
    return this.list.instructions.slice(0, result + 1);
  }

  /** The instruction that computes the element of `node` at these coordinates. */
  visit(node: Node, coordinates: Coordinates, guards: readonly Guard[] = []): number {
    const key = JSON.stringify([node.id, coordinates, guards]);
    const known = this.#visited.get(key);
    if (known !== undefined) return known;
    const instruction = this.#compute(node, coordinates, guards);
    this.#visited.set(key, instruction);
    return instruction;
  }

  #load(node: Node, index: Affine, guards: readonly Guard[]): number {
    const input = inputNumber(this.draft, node);
    return this.list.emit({ op: 'load', dtype: node.dtype, input, index: this.tidy(index), guards });
  }

  /** Strides of axes that do not move are 0, so that equal positions look equal. */
  protected tidy({ offset, strides }: Affine): Affine {
    return {
      offset,
      strides: strides.map((stride, axis) => ((this.extents[axis] as number) > 1 ? stride : 0)),
    };
  }

  #compute(node: Node, coordinates: Coordinates, guards: readonly Guard[]): number {
    const { operation } = node;
    const { draft, extents } = this;
    if (isLeaf(node) || (draft.roots.has(node) && node !== draft.root)) {
      return this.#load(node, flatten(coordinates, node.shape, extents.length), guards);
    }
    switch (operation.kind) {
      case 'constant':
        return this.list.emit({ op: 'constant', dtype: node.dtype, value: operation.value });
      case 'iota':
        return this.list.emit({
          op: 'index',
          dtype: 'i32',
          index: this.tidy(coordinates[operation.axis] as Affine),
        });
      case 'scalar': {
        const args = node.inputs.map((input) => this.visit(input, coordinates, guards));
        if (operation.op === 'multiply') {
          const one = args.findIndex((arg) => this.#isOne(arg));
          if (one >= 0) return args[1 - one] as number;
        }
        return this.list.emit({ op: operation.op, dtype: node.dtype, args });
      }
      case 'gather':
        return this.#gather(node, operation.batchDims, coordinates, guards);
      case 'reduce':
      case 'matmul':
        return this.anchor(node, coordinates, guards);
      default:
        if (!isMovement(operation)) throw new CannotFuse(node);
        return this.#move(node, coordinates, guards);
    }
  }

  /** A factor of 1, such as the seed of a gradient, changes nothing. */
  #isOne(number: number): boolean {
    const step = this.list.instructions[number] as Instruction;
    return step.op === 'constant' && step.value === 1;
  }

  #move(node: Node, coordinates: Coordinates, guards: readonly Guard[]): number {
    const [input] = node.inputs as [Node];
    if (node.operation.kind === 'reshape') {
      const base = bufferBehind(node, this.draft);
      if (base) return this.#load(base, flatten(coordinates, node.shape, this.extents.length), guards);
    }
    const moved = seeThrough(node.operation, input.shape, node.shape, coordinates, this.extents);
    if (!moved) throw new CannotFuse(reshapeBase(input));
    const added = moved.guards.filter(({ value, size }) => {
      const [low, high] = rangeOf(value, this.extents);
      return low < 0 || high >= size;
    });
    const value = this.visit(input, moved.coordinates, [...guards, ...added]);
    return added.length === 0 ? value : this.#orZero(value, added, node);
  }

  /** Zero where a guard does not hold. A load knows its guards already. */
  #orZero(value: number, guards: readonly Guard[], { dtype }: Node): number {
    const instruction = this.list.instructions[value] as Instruction;
    if (instruction.op === 'load' || (instruction.op === 'constant' && instruction.value === 0)) return value;
    const conditions = guards.flatMap(({ value: position, size }) => {
      const at = this.list.emit({ op: 'index', dtype: 'i32', index: this.tidy(position) });
      const zero = this.list.emit({ op: 'constant', dtype: 'i32', value: 0 });
      const end = this.list.emit({ op: 'constant', dtype: 'i32', value: size });
      return [
        this.list.emit({ op: 'lessEqual', dtype: 'bool', args: [zero, at] }),
        this.list.emit({ op: 'less', dtype: 'bool', args: [at, end] }),
      ];
    });
    const inside = conditions.reduce((a, b) => this.list.emit({ op: 'and', dtype: 'bool', args: [a, b] }));
    const nothing = this.list.emit({ op: 'constant', dtype, value: 0 });
    return this.list.emit({ op: 'select', dtype, args: [inside, value, nothing] });
  }

  #gather(node: Node, batchDims: number, coordinates: Coordinates, guards: readonly Guard[]): number {
    const [x, indices] = node.inputs as [Node, Node];
    const rank = this.extents.length;
    const base = contiguousBase(x, this.draft);
    const at = this.visit(indices, coordinates.slice(0, indices.shape.length), guards);
    const position = [
      ...coordinates.slice(0, batchDims),
      fixed(0, rank),
      ...coordinates.slice(indices.shape.length),
    ];
    return this.list.emit({
      op: 'load',
      dtype: node.dtype,
      input: inputNumber(this.draft, base),
      index: this.tidy(flatten(position, x.shape, rank)),
      guards,
      gather: {
        at,
        stride: contiguousStrides(x.shape)[batchDims] as number,
        size: x.shape[batchDims] as number,
      },
    });
  }

  /** The result of the reduction or product of this kernel, if `node` can be it. */
  protected anchor(node: Node, coordinates: Coordinates, guards: readonly Guard[]): number {
    const { draft, extents } = this;
    const rank = extents.length;
    const here = this.tidy(flatten(coordinates, node.shape, rank));
    const stored = this.tidy(flatten(identity(rank), draft.root.shape, rank));
    const element =
      sizeOf(node.shape) === sizeOf(draft.root.shape) &&
      here.offset === 0 &&
      sameShape(here.strides, stored.strides);
    const fits = !this.inReduction && guards.length === 0 && element && (draft.anchor?.node ?? node) === node;
    if (!fits) throw new CannotFuse(node);
    draft.anchor ??= { node, coordinates };
    return this.list.emit({ op: 'reduced', dtype: node.dtype });
  }
}
