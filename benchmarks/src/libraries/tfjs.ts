/** TensorFlow.js with its own optimizer. In Node its WebAssembly has SIMD and one thread; on WebGPU it gets Dawn as a browser's. */
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import {
  type Abilities,
  type Block,
  type Ids,
  joined,
  type Library,
  type Linear,
  leavesOf,
  type Mlp,
  mapBlocks,
  mapMlp,
  mapVit,
  type Norm,
  type Problems,
  type Task,
  type Values,
} from '../library';

const require = createRequire(import.meta.url);
const place = ({ data, shape }: Values) => tf.tensor(data, [...shape]);
const placeIds = ({ data, shape }: Ids) => tf.tensor(data, [...shape], 'int32');
const variable = (values: Values) => tf.variable(place(values));
const read = async (x: tf.Tensor) => Float32Array.from(await x.data());

/** Starts the backend. */
export async function start({ device }: { device: 'wasm' | 'webgpu' }): Promise<Library> {
  // The core alone registers no gradients. `require`, since the file imports folders, which modules of Node cannot.
  require('@tensorflow/tfjs-core/dist/register_all_gradients');
  let adapter = 'wasm, 1 thread';
  if (device === 'webgpu') {
    adapter = await (await import('./dawn')).asInBrowser();
    require('@tensorflow/tfjs-backend-webgpu');
  } else {
    require('@tensorflow/tfjs-backend-wasm');
  }
  if (!(await tf.setBackend(device))) throw new Error(`TensorFlow.js did not start its ${device} backend`);
  const { embeddingGradient, ...others } = abilities;
  // On WebAssembly it has no kernel for adding up rows.
  const own = device === 'wasm' ? others : { embeddingGradient, ...others };
  return { detail: `${tf.version_core}, ${adapter}`, abilities: own };
}

/** The same function again and again; it makes a list of tensors. */
function repeated(fn: () => tf.Tensor[]): Task {
  return {
    async run() {
      const results = tf.tidy(fn);
      const first = results[0] as tf.Tensor;
      const seen = tf.tidy(() => tf.slice(tf.reshape(first, [-1]), [0], [1]));
      const [number] = await seen.data();
      tf.dispose([...results, seen]);
      return number as number;
    },
    queue: () => tf.dispose(tf.tidy(fn)),
    async values() {
      const results = tf.tidy(fn);
      return joined(await Promise.all(results.map(read)));
    },
  };
}

function training(
  params: tf.Variable[],
  { input, target, learningRate }: { input: Values; target: Values; learningRate: number },
  loss: (x: tf.Tensor, y: tf.Tensor) => tf.Scalar,
): Task {
  const [x, y] = [place(input), place(target)];
  const optimizer = tf.train.sgd(learningRate);
  return {
    async run() {
      const value = optimizer.minimize(() => loss(x, y), true, params) as tf.Scalar;
      const [number] = await value.data();
      value.dispose();
      return number as number;
    },
    queue() {
      optimizer.minimize(() => loss(x, y), false, params);
    },
    async values() {
      return joined(await Promise.all(params.map(read)));
    },
  };
}

function crossEntropy(logits: tf.Tensor, target: tf.Tensor): tf.Scalar {
  const logProbabilities = tf.sub(logits, tf.logSumExp(logits, -1, true));
  return tf.neg(tf.mean<tf.Scalar>(tf.sum(tf.mul(logProbabilities, target), -1)));
}

/** `[..., inputs]` → `[..., outputs]`; as one product, since a weight is not broadcast over a batch in its gradient. */
function linear({ weight, bias }: Linear<tf.Tensor>, x: tf.Tensor): tf.Tensor {
  const outputs = weight.shape[1] as number;
  const rows = tf.reshape(x, [-1, x.shape.at(-1) as number]);
  return tf.reshape(tf.add(tf.matMul(rows, weight), bias), [...x.shape.slice(0, -1), outputs]);
}

const perceptron = ({ up, down }: Mlp<tf.Tensor>, x: tf.Tensor) => linear(down, tf.relu(linear(up, x)));
const gelu = (x: tf.Tensor) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
/** Rows of unit length. */
const unit = (x: tf.Tensor) => tf.div(x, tf.norm(x, 2, -1, true));
const quickGelu = (x: tf.Tensor) => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));

function norm({ gain, bias }: Norm<tf.Tensor>, x: tf.Tensor): tf.Tensor {
  const centered = tf.sub(x, tf.mean(x, -1, true));
  const deviation = tf.sqrt(tf.add(tf.mean(tf.square(centered), -1, true), 1e-5));
  return tf.add(tf.mul(tf.div(centered, deviation), gain), bias);
}

/** `[batch, tokens, heads, dim]` → the same. */
function attention(...[query, key, value]: [tf.Tensor, tf.Tensor, tf.Tensor]): tf.Tensor {
  const dim = query.shape.at(-1) as number;
  const [q, k, v] = [query, key, value].map((x) => tf.transpose(x, [0, 2, 1, 3])) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const scores = tf.mul(tf.matMul(q, k, false, true), dim ** -0.5);
  return tf.transpose(tf.matMul(tf.softmax(scores), v), [0, 2, 1, 3]);
}

/** `[batch, tokens, width]` → the same. */
function block(p: Block<tf.Tensor>, x: tf.Tensor, heads: number, activation = gelu): tf.Tensor {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const normal = norm(p.ln1, x);
  const inHeads = (map: Linear<tf.Tensor>) =>
    tf.reshape(linear(map, normal), [batch, tokens, heads, width / heads]);
  const { query, key, value, out } = p.attention;
  const attended = attention(inHeads(query), inHeads(key), inHeads(value));
  const y = tf.add(x, linear(out, tf.reshape(attended, [batch, tokens, width])));
  return tf.add(y, linear(p.mlp.down, activation(linear(p.mlp.up, norm(p.ln2, y)))));
}

const abilities: Abilities = {
  product({ a, b, transposeA, transposeB }) {
    const [left, right] = [place(a), place(b)];
    return repeated(() => [tf.matMul(left, right, transposeA, transposeB)]);
  },
  softmax({ x }) {
    const rows = place(x);
    return repeated(() => [tf.softmax(rows)]);
  },
  layerNorm({ x, gain, bias }) {
    const [rows, p] = [place(x), { gain: place(gain), bias: place(bias) }];
    return repeated(() => [norm(p, rows)]);
  },
  gelu({ x }) {
    const rows = place(x);
    return repeated(() => [gelu(rows)]);
  },
  crossEntropy({ logits, classes }) {
    const [rows, ids] = [place(logits), placeIds(classes)];
    const count = logits.shape[1] as number;
    const both = tf.valueAndGrad((x: tf.Tensor) => crossEntropy(x, tf.oneHot(ids, count)));
    return repeated(() => {
      const { value, grad } = both(rows);
      return [value, grad];
    });
  },
  embedding({ table, ids }) {
    const [rows, at] = [place(table), placeIds(ids)] as const;
    return repeated(() => [tf.gather(rows, at as tf.Tensor1D)]);
  },
  embeddingGradient({ table, ids, gradient }) {
    const [rows, at, g] = [place(table), placeIds(ids), place(gradient)] as const;
    const take = tf.grad((x: tf.Tensor) => tf.gather(x, at as tf.Tensor1D));
    return repeated(() => [take(rows, g)]);
  },
  attention({ query, key, value }) {
    const inputs = [place(query), place(key), place(value)] as const;
    return repeated(() => [attention(...inputs)]);
  },
  attentionGradient({ query, key, value, gradient }: Problems['attentionGradient']) {
    const [inputs, g] = [[place(query), place(key), place(value)], place(gradient)];
    const backward = tf.grads((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => attention(q, k, v));
    return repeated(() => backward(inputs, g));
  },
  mlpStep(problem) {
    const params = mapMlp(problem.params, variable);
    return training(leavesOf<tf.Variable, typeof params>(mapMlp, params), problem, (x, y) =>
      crossEntropy(perceptron(params, x), y),
    );
  },
  blockStep(problem) {
    const params = mapBlocks(problem.params, variable);
    return training(leavesOf<tf.Variable, typeof params>(mapBlocks, params), problem, (x, y) => {
      const result = params.reduce((z, p) => block(p, z, problem.heads), x);
      return tf.mean<tf.Scalar>(tf.square(tf.sub(result, y)));
    });
  },
  vit({ params, images, patchSize, heads }) {
    const [batch, side] = images.shape as [number, number];
    const [count, width] = [side / patchSize, params.projection.shape[0] as number];
    const p = mapVit(params, place);
    const pictures = place(images);
    return repeated(() => {
      const grid = tf.reshape(pictures, [batch, count, patchSize, count, patchSize * 3]);
      const patches = tf.reshape(tf.transpose(grid, [0, 1, 3, 2, 4]), [batch * count ** 2, -1]);
      const embedded = tf.reshape(tf.matMul(patches, p.patches), [batch, count ** 2, width]);
      const classTokens = tf.broadcastTo(p.classToken, [batch, 1, width]);
      const tokens = norm(p.lnPre, tf.add(tf.concat([classTokens, embedded], 1), p.positions));
      const features = p.blocks.reduce((x, own) => block(own, x, heads, quickGelu), tokens);
      const pooled = tf.reshape(tf.slice(features, [0, 0, 0], [-1, 1, -1]), [batch, width]);
      return [unit(tf.matMul(norm(p.lnPost, pooled), p.projection))];
    });
  },
};
