/** What a library must be able to do to be measured, and the problems that all of them get. */

/** Numbers on the host, row by row. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Ids of classes or rows. */
export interface Ids {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

// Type aliases and not interfaces: jax-js takes no others for trees.
/** `[inputs, outputs]` and `[outputs]`. */
export type Linear<T> = { weight: T; bias: T };
/** Both `[width]`. */
export type Norm<T> = { gain: T; bias: T };
/** A perceptron of one hidden layer. */
export type Mlp<T> = { up: Linear<T>; down: Linear<T> };
/** A pre-norm transformer block. */
export type Block<T> = {
  ln1: Norm<T>;
  attention: { query: Linear<T>; key: Linear<T>; value: Linear<T>; out: Linear<T> };
  ln2: Norm<T>;
  mlp: Mlp<T>;
};
/** CLIP's image tower. */
export type Vit<T> = {
  /** `[patch · patch · 3, width]` */
  patches: T;
  classToken: T;
  /** `[1 + patches, width]` */
  positions: T;
  lnPre: Norm<T>;
  blocks: Block<T>[];
  lnPost: Norm<T>;
  /** `[width, outputs]` */
  projection: T;
};

/** `op(a) op(b)`, where `op` transposes the last two axes or does not. */
export interface ProductProblem {
  readonly a: Values;
  readonly b: Values;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** A step of gradient descent on a model's parameters, on one batch. */
export interface TrainingProblem<Params> {
  readonly params: Params;
  readonly input: Values;
  readonly target: Values;
  readonly learningRate: number;
}

/** All kinds of work, with what they are given. */
export interface Problems {
  product: ProductProblem;
  /**
   * The same, `b` kept on the device in half precision, as weights are, or both, as matrix units take them; the numbers of
   * these are halves.
   */
  halfProduct: ProductProblem & { readonly halves: 'b' | 'both' };
  /** Over the last axis. */
  softmax: { readonly x: Values };
  /** Over the last axis, with 10⁻⁵ added to the variance. */
  layerNorm: { readonly x: Values; readonly gain: Values; readonly bias: Values };
  /** Exact GELU. */
  gelu: { readonly x: Values };
  /** The mean over rows of the cross-entropy of `logits` with classes, and its gradient. */
  crossEntropy: { readonly logits: Values; readonly classes: Ids };
  /** Rows of a table. */
  embedding: { readonly table: Values; readonly ids: Ids };
  /** The gradient of a table, from that of the rows taken from it. */
  embeddingGradient: { readonly table: Values; readonly ids: Ids; readonly gradient: Values };
  /** A step of AdamW on many tensors, with the same gradients at each. */
  adamW: {
    readonly params: readonly Values[];
    readonly gradients: readonly Values[];
    readonly settings: AdamWSettings;
  };
  /** `softmax(q kᵀ / √dim) v` of `[batch, tokens, heads, dim]`. */
  attention: AttentionProblem;
  /** Gradients of query, key and value, from that of attention's result; the forward pass included. */
  attentionGradient: AttentionProblem & { readonly gradient: Values };
  /** ReLU between the layers; loss is the mean cross-entropy between softmax and target. */
  mlpStep: TrainingProblem<Mlp<Values>>;
  /** Blocks one after another, exact GELU; loss is the mean squared difference from the target. */
  blockStep: TrainingProblem<Block<Values>[]> & { readonly heads: number };
  /** Images `[batch, side, side, 3]` to embeddings of unit length, with CLIP's quick GELU. */
  vit: {
    readonly params: Vit<Values>;
    /** Path of the same tower as a model in the ONNX format. */
    readonly onnx: string;
    readonly images: Values;
    readonly patchSize: number;
    readonly heads: number;
  };
  clipInStep: ClipInProblem;
}

/** A kind of work. */
export type Kind = keyof Problems;

/** Decay and rates of AdamW. */
export interface AdamWSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
}

/** Query, key and value, each `[batch, tokens, heads, dim]`. */
export interface AttentionProblem {
  readonly query: Values;
  readonly key: Values;
  readonly value: Values;
}

/** A training step of CLIP-IN: the losses of short and long captions and of edits, clipping, AdamW with warm-up. */
export interface ClipInProblem {
  /** By path in clip-in's tree: `image.blocks.0.ln1.gain`. */
  readonly params: Readonly<Record<string, Values>>;
  readonly batch: {
    readonly images: Values;
    readonly short: Ids;
    readonly long: Ids;
    readonly sourceImages: Values;
    readonly targetImages: Values;
    readonly sourceText: Ids;
    readonly targetText: Ids;
  };
  readonly heads: { readonly image: number; readonly text: number };
  readonly patchSize: number;
  readonly contextLength: number;
  readonly hardNegativeWeight: number;
  readonly optimizer: AdamWSettings & {
    readonly steps: number;
    readonly warmup: number;
    readonly clipNorm: number;
  };
}

/** Something that a library has ready to run, again and again. */
export interface Task {
  /** One run. Reads one number of the result, so that nothing is left to be computed: the loss, or an element. */
  run(): Promise<number>;
  /** One run whose result nobody reads, and which may still be going on when this returns; for libraries that queue work. */
  queue?(): void;
  /** All that the runs have led to: the result, or the parameters one after another. */
  values(): Promise<Float32Array>;
}

/** What a library does, by kind; what it lacks is left out. */
export type Abilities = {
  readonly [K in Kind]?: (problem: Problems[K]) => Task | Promise<Task>;
};

/** A library on a device. */
export interface Library {
  /** Version, and what it computes on: `0.1.25, wasm, 1 thread`. */
  readonly detail: string;
  readonly abilities: Abilities;
}

const mapLinear = <T, U>({ weight, bias }: Linear<T>, f: (leaf: T) => U): Linear<U> => ({
  weight: f(weight),
  bias: f(bias),
});
const mapNorm = <T, U>({ gain, bias }: Norm<T>, f: (leaf: T) => U): Norm<U> => ({
  gain: f(gain),
  bias: f(bias),
});

/** The same tree with other leaves. */
export const mapMlp = <T, U>({ up, down }: Mlp<T>, f: (leaf: T) => U): Mlp<U> => ({
  up: mapLinear(up, f),
  down: mapLinear(down, f),
});

const mapBlock = <T, U>({ ln1, attention, ln2, mlp }: Block<T>, f: (leaf: T) => U): Block<U> => ({
  ln1: mapNorm(ln1, f),
  attention: {
    query: mapLinear(attention.query, f),
    key: mapLinear(attention.key, f),
    value: mapLinear(attention.value, f),
    out: mapLinear(attention.out, f),
  },
  ln2: mapNorm(ln2, f),
  mlp: mapMlp(mlp, f),
});

/** The same trees with other leaves. */
export const mapBlocks = <T, U>(blocks: readonly Block<T>[], f: (leaf: T) => U): Block<U>[] =>
  blocks.map((block) => mapBlock(block, f));

/** The same tree with other leaves. */
export const mapVit = <T, U>(vit: Vit<T>, f: (leaf: T) => U): Vit<U> => ({
  patches: f(vit.patches),
  classToken: f(vit.classToken),
  positions: f(vit.positions),
  lnPre: mapNorm(vit.lnPre, f),
  blocks: mapBlocks(vit.blocks, f),
  lnPost: mapNorm(vit.lnPost, f),
  projection: f(vit.projection),
});

/** The leaves that a mapping comes by, in its order. */
export function leavesOf<T, P>(map: (params: P, f: (leaf: T) => T) => P, params: P): T[] {
  const found: T[] = [];
  map(params, (leaf) => {
    found.push(leaf);
    return leaf;
  });
  return found;
}

/** A function that gives one after another, for filling a tree. */
export function inOrder<T>(list: readonly T[]): () => T {
  let next = 0;
  return () => list[next++] as T;
}

/** Arrays one after another. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
