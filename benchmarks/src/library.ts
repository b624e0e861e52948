/** What a library must be able to do to be measured, and the trees of numbers that all of them start from. */

/** Numbers on the host, row by row. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
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
/** `op(a) op(b)`, where `op` transposes or does not. */
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

/** A transformer block also has heads. */
export interface BlockProblem extends TrainingProblem<Block<Values>> {
  readonly heads: number;
}

/** Something that a library has ready to run, again and again. */
export interface Task {
  /** One run. Reads one number of the result, so that nothing is left to be computed: the loss, or an element. */
  run(): Promise<number>;
  /** All that the runs have led to: the product, or the parameters one after another. */
  values(): Promise<Float32Array>;
}

/** A library on a device. */
export interface Library {
  readonly name: string;
  readonly threads: number;
  product(problem: ProductProblem): Task;
  /** ReLU between the layers; loss is the mean cross-entropy between softmax and target. */
  mlpStep(problem: TrainingProblem<Mlp<Values>>): Task;
  /** Exact GELU; loss is the mean squared difference from the target. */
  blockStep(problem: BlockProblem): Task;
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

/** The same tree with other leaves. */
export const mapBlock = <T, U>({ ln1, attention, ln2, mlp }: Block<T>, f: (leaf: T) => U): Block<U> => ({
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

/** The leaves that a mapping comes by, in its order. */
export function leavesOf<T, P>(map: (params: P, f: (leaf: T) => T) => P, params: P): T[] {
  const found: T[] = [];
  map(params, (leaf) => {
    found.push(leaf);
    return leaf;
  });
  return found;
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
