/** jax-js on its WebAssembly backend, steps under its `jit`. Outside browsers it has one thread. */
import {
  defaultDevice,
  init,
  type Array as JaxArray,
  jit,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
} from '@jax-js/jax';
import {
  type Block,
  joined,
  type Library,
  type Linear,
  leavesOf,
  mapBlock,
  mapMlp,
  type Norm,
  type ProductProblem,
  type Task,
  type Values,
} from '../library';

const place = ({ data, shape }: Values) => np.array(data, { shape: [...shape] });
// An array is used up by what takes it; `.ref` keeps it for another use.
const read = async (x: JaxArray) => Float32Array.from(await x.ref.data());

/** Starts the backend. */
export async function jaxJs(): Promise<Library> {
  await init('wasm');
  defaultDevice('wasm');
  return { name: 'jax-js', threads: 1, product, mlpStep, blockStep };
}

function mlpStep(problem: Parameters<Library['mlpStep']>[0]): Task {
  const start = leavesOf<Values, typeof problem.params>(mapMlp, problem.params);
  return training(start, problem, (leaves, x, y) => {
    const { up, down } = mapMlp(problem.params, inOrder(leaves));
    const logits = linear(down, nn.relu(linear(up, x)));
    return nn.logSoftmax(logits).mul(y).sum(-1).mean().neg();
  });
}

function blockStep(problem: Parameters<Library['blockStep']>[0]): Task {
  const start = leavesOf<Values, typeof problem.params>(mapBlock, problem.params);
  return training(start, problem, (leaves, x, y) =>
    np.square(block(mapBlock(problem.params, inOrder(leaves)), x, problem.heads).sub(y)).mean(),
  );
}

function product({ a, b, transposeA, transposeB }: ProductProblem): Task {
  const [left, right] = [place(a), place(b)];
  const multiply = jit((x: JaxArray, y: JaxArray) =>
    np.matmul(transposeA ? np.transpose(x) : x, transposeB ? np.transpose(y) : y),
  );
  return {
    async run() {
      return (await multiply(left.ref, right.ref).slice(0, 0).data())[0] as number;
    },
    async values() {
      return Float32Array.from(await multiply(left.ref, right.ref).data());
    },
  };
}

const linear = ({ weight, bias }: Linear<JaxArray>, x: JaxArray) => np.matmul(x, weight).add(bias);
const norm = ({ gain, bias }: Norm<JaxArray>, x: JaxArray) => nn.standardize(x, -1).mul(gain).add(bias);

/** `[batch, tokens, width]` → the same. Products are spelt out, since `dotProductAttention` needs Node 22 or a browser. */
function block(p: Block<JaxArray>, x: JaxArray, heads: number): JaxArray {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const normal = norm(p.ln1, x.ref);
  const inHeads = (map: Linear<JaxArray>, order: number[]) =>
    linear(map, normal.ref)
      .reshape([batch, tokens, heads, width / heads])
      .transpose(order);
  const { query, key, value, out } = p.attention;
  const scores = np.matmul(inHeads(query, [0, 2, 1, 3]), inHeads(key, [0, 2, 3, 1]));
  const weights = nn.softmax(scores.mul((width / heads) ** -0.5), -1);
  const attended = np.matmul(weights, inHeads(value, [0, 2, 1, 3])).transpose([0, 2, 1, 3]);
  normal.dispose();
  const y = x.add(linear(out, attended.reshape([batch, tokens, width])));
  const hidden = nn.gelu(linear(p.mlp.up, norm(p.ln2, y.ref)), { approximate: false });
  return y.add(linear(p.mlp.down, hidden));
}

/** A function that gives one after another, for filling a tree. */
function inOrder<T>(list: readonly T[]): () => T {
  let next = 0;
  return () => list[next++] as T;
}

/** The parameters go about as a list, since jax-js's types do not take trees of a type that is left open. */
function training(
  start: readonly Values[],
  { input, target, learningRate }: { input: Values; target: Values; learningRate: number },
  loss: (params: JaxArray[], input: JaxArray, target: JaxArray) => JaxArray,
): Task {
  const [x, y] = [place(input), place(target)];
  let params = start.map(place);
  const step = jit((p: JaxArray[], xs: JaxArray, ys: JaxArray): [JaxArray, JaxArray[]] => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(p), xs, ys);
    return [value, p.map((w, i) => w.sub((gradients[i] as JaxArray).mul(learningRate)))];
  });
  return {
    async run() {
      const [value, next] = step(params, x.ref, y.ref);
      params = next;
      return (await value.data())[0] as number;
    },
    async values() {
      return joined(await Promise.all(params.map(read)));
    },
  };
}
