/** One kernel for one root: chooses its kind, writes its programs, sees its operands through movement. */
import {
  type Affine,
  type AttentionShape,
  type Body,
  type DeviceLimits,
  type DType,
  type Kernel,
  mapAffines,
  type Operand,
  type Reduction,
  sizeOf,
} from '@clipin/kernel';
import type { Call, Node } from '../node';
import { coalesce, type Loops } from './coalesce';
import { flatten, identity, isMovement, seeThrough, unit } from './coordinates';
import { isLeaf, reshapeBase } from './graph';
import { bufferBehind, CannotFuse, contiguousBase, type Draft, inputNumber, ProgramWriter } from './program';

/** A kernel and the nodes whose buffers it reads and writes. */
export interface Step {
  readonly kernel: Kernel;
  readonly inputs: readonly Node[];
  readonly outputs: readonly Node[];
}

/**
 * The kernel that stores `root`.
 *
 * @throws CannotFuse naming a node that must be added to `roots` first
 */
export function buildStep(root: Node, roots: ReadonlySet<Node>, limits: DeviceLimits): Step {
  const draft: Draft = { root, roots, inputs: [] };
  if (root.operation.kind === 'routine') {
    const { call } = root.operation;
    return { kernel: buildRoutine(call, draft), outputs: call.outputs, inputs: draft.inputs };
  }
  const step = { kernel: buildLoops(draft), outputs: [root] };
  if (draft.inputs.length + 1 > limits.kernelBuffers) throw new CannotFuse(...partsToStore(draft, limits));
  return { ...step, inputs: draft.inputs };
}

function buildLoops(draft: Draft): Kernel {
  const { root } = draft;
  const axes = root.shape;
  const writer = new ProgramWriter(draft, axes, false);
  const result = writer.visit(root, identity(axes.length));
  const body: Body = { program: writer.program(result), stores: [result] };
  const anchor = draft.anchor;
  if (anchor?.node.operation.kind === 'matmul') {
    return buildMatmul(draft, anchor.node, coalesce({ axes, body, kept: anchor.coordinates }));
  }
  const reduction = anchor && buildReduction(draft, anchor.node, anchor.coordinates);
  const loops = coalesce({ axes, body, kept: [], ...(reduction && { reduction }) });
  return {
    kind: 'loop',
    axes: loops.axes,
    ...loops.body,
    ...(loops.reduction && { reduction: loops.reduction }),
  };
}

function buildReduction(draft: Draft, node: Node, coordinates: readonly Affine[]): Reduction {
  const { operation } = node;
  if (operation.kind !== 'reduce') throw new Error(`${operation.kind} is not a reduction`);
  const [input] = node.inputs as [Node];
  const inner = operation.axes.map((axis) => input.shape[axis] as number);
  const outerRank = draft.root.shape.length;
  const rank = outerRank + inner.length;
  const widen = ({ offset, strides }: Affine): Affine => ({
    offset,
    strides: [...strides, ...inner.map(() => 0)],
  });
  let kept = 0;
  const position = input.shape.map((_, axis) => {
    const reducedAxis = operation.axes.indexOf(axis);
    return reducedAxis >= 0 ? unit(outerRank + reducedAxis, rank) : widen(coordinates[kept++] as Affine);
  });
  const writer = new ProgramWriter(draft, [...draft.root.shape, ...inner], true);
  const value = writer.visit(input, position);
  return { op: operation.op, dtype: node.dtype, axes: inner, program: writer.program(value) };
}

function buildMatmul(draft: Draft, node: Node, loops: Loops): Kernel {
  const dims = node.shape;
  const long = dims.map((_, dim) => dim).filter((dim) => (dims[dim] as number) !== 1);
  const aligned =
    loops.axes.length === long.length &&
    long.every((dim, axis) => {
      const { offset, strides } = loops.kept[dim] as Affine;
      return offset === 0 && strides.every((stride, other) => stride === (other === axis ? 1 : 0));
    });
  if (!aligned) throw new CannotFuse(node);

  const [a, b] = node.inputs as [Node, Node];
  const rank = dims.length;
  const keptDims = dims.map((_, dim) => dim).filter((dim) => dim >= rank - 2 || dims[dim] !== 1);
  const pick = ({ offset, strides }: Affine): Affine => ({
    offset,
    strides: keptDims.map((dim) => strides[dim] as number),
  });
  const spread = ({ offset, strides }: Affine): Affine => ({
    offset,
    strides: keptDims.map((dim) => (long.includes(dim) ? (strides[long.indexOf(dim)] as number) : 0)),
  });
  const operand = (input: Node): Operand => {
    const seen = operandView(input, draft);
    return { input: seen.input, index: pick(seen.index) };
  };
  return {
    kind: 'matmul',
    batch: keptDims.slice(0, -2).map((dim) => dims[dim] as number),
    m: dims[rank - 2] as number,
    n: dims[rank - 1] as number,
    k: a.shape[rank - 1] as number,
    a: operand(a),
    b: operand(b),
    program: mapAffines(loops.body.program, spread),
    stores: loops.body.stores,
  };
}

/** An operand as an affine view of a buffer, over the axes of the operand. */
function operandView(operand: Node, draft: Draft): Operand {
  const extents = operand.shape;
  let node = operand;
  let coordinates: readonly Affine[] = identity(extents.length);
  const stored = (candidate: Node) => isLeaf(candidate) || draft.roots.has(candidate);
  while (!stored(node)) {
    if (!isMovement(node.operation) || node.operation.kind === 'pad') throw new CannotFuse(node);
    const base = bufferBehind(node, draft);
    if (base)
      return { input: inputNumber(draft, base), index: flatten(coordinates, node.shape, extents.length) };
    const [input] = node.inputs as [Node];
    const moved = seeThrough(node.operation, input.shape, node.shape, coordinates, extents);
    if (!moved) throw new CannotFuse(reshapeBase(node));
    node = input;
    coordinates = moved.coordinates;
  }
  return { input: inputNumber(draft, node), index: flatten(coordinates, node.shape, extents.length) };
}

function buildRoutine(call: Call, draft: Draft): Kernel {
  const { routine } = call;
  const { inputs } = draft.root;
  if (routine.kind === 'scatterAdd') {
    const [indices, updates] = inputs as [Node, Node];
    // By position, not by number: the same buffer may be both.
    draft.inputs.push(...inputs.map((input) => contiguousBase(input, draft)));
    return {
      kind: 'scatterAdd',
      dtype: exclude(exclude(updates.dtype, 'bool'), 'f16'),
      indices: exclude(exclude(exclude(indices.dtype, 'bool'), 'f32'), 'f16'),
      batch: sizeOf(indices.shape.slice(0, routine.batchDims)),
      rows: routine.rows,
      count: sizeOf(indices.shape.slice(routine.batchDims)),
      width: sizeOf(updates.shape.slice(indices.shape.length)),
    };
  }
  const [query, key, value, ...rest] = inputs as [Node, Node, Node, ...Node[]];
  const [batch, queries, heads, dim] = query.shape as readonly [number, number, number, number];
  const mask = routine.masked ? rest.pop() : undefined;
  const shape: AttentionShape = {
    batch,
    heads,
    queries,
    keys: key.shape[1] as number,
    dim,
    scale: routine.scale,
    causal: routine.causal,
    query: headsFirst(operandView(query, draft)),
    key: headsFirst(operandView(key, draft)),
    value: headsFirst(operandView(value, draft)),
    ...(mask && { mask: operandView(mask, draft) }),
  };
  if (routine.kind === 'attention') return { kind: 'attention', ...shape };
  const [result, logSumExp, gradient] = rest as [Node, Node, Node];
  return {
    kind: 'attentionBackward',
    ...shape,
    result: inputNumber(draft, contiguousBase(result, draft)),
    logSumExp: inputNumber(draft, contiguousBase(logSumExp, draft)),
    gradient: headsFirst(operandView(gradient, draft)),
  };
}

/** From axes `[batch, tokens, heads, dim]` to `[batch, heads, tokens, dim]`. */
const headsFirst = ({ input, index: { offset, strides } }: Operand): Operand => {
  const [batch, tokens, heads, dim] = strides as readonly [number, number, number, number];
  return { input, index: { offset, strides: [batch, heads, tokens, dim] } };
};

function exclude<T extends DType, U extends T>(dtype: T, unwanted: U): Exclude<T, U> {
  const isWanted = (candidate: T): candidate is Exclude<T, U> => candidate !== unwanted;
  if (!isWanted(dtype)) throw new TypeError(`${dtype} does not fit here`);
  return dtype;
}

/** The parts of a kernel with too many buffers that are stored by themselves, so that what is left reads few enough. */
function partsToStore({ root, roots }: Draft, limits: DeviceLimits): Node[] {
  const most = limits.kernelBuffers - 1;
  const parts: Node[] = [];
  const known = new Map<Node, ReadonlySet<Node>>();
  const readsOf = (node: Node): ReadonlySet<Node> => {
    const found = known.get(node) ?? readsInside(node);
    known.set(node, found);
    return found;
  };
  const readsInside = (node: Node): ReadonlySet<Node> => {
    if (isLeaf(node) || (roots.has(node) && node !== root)) return new Set([node]);
    const bySize = [...node.inputs].sort((a, b) => readsOf(b).size - readsOf(a).size);
    let all = new Set(bySize.flatMap((input) => [...readsOf(input)]));
    for (const input of bySize) {
      const part = behindMovement(input);
      if (all.size <= most || readsOf(part).size < 2) break;
      parts.push(part);
      for (const stored of [input, part]) known.set(stored, new Set([part]));
      all = new Set(bySize.flatMap((other) => [...readsOf(other)]));
    }
    if (all.size > most) {
      throw new Error(`a kernel reads ${all.size} buffers at once; the device allows ${most}`);
    }
    return all;
  };
  readsOf(root);
  if (parts.length === 0) {
    throw new Error(
      `a kernel reads and writes more buffers at once than the device allows, ${limits.kernelBuffers}`,
    );
  }
  return parts;
}

function behindMovement(node: Node): Node {
  let source = node;
  while (isMovement(source.operation)) source = source.inputs[0] as Node;
  return source;
}
