/** TensorFlow.js on its WebAssembly backend, with its own optimizer. In Node it has SIMD and one thread. */
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import {
  type Block,
  joined,
  type Library,
  type Linear,
  leavesOf,
  type Mlp,
  mapBlock,
  mapMlp,
  type Norm,
  type ProductProblem,
  type Task,
  type Values,
} from '../library';

// The core alone registers no gradients. `require`, since the file imports folders, which modules of Node cannot.
createRequire(import.meta.url)('@tensorflow/tfjs-core/dist/register_all_gradients');

const place = ({ data, shape }: Values) => tf.tensor(data, [...shape]);
const variable = (values: Values) => tf.variable(place(values));
const read = async (x: tf.Tensor) => Float32Array.from(await x.data());

/** Starts the backend. */
export async function tfjs(): Promise<Library> {
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js did not start its wasm backend');
  return {
    name: 'TensorFlow.js',
    threads: 1,
    product,
    mlpStep(problem) {
      const params = mapMlp(problem.params, variable);
      return training(leavesOf<tf.Variable, typeof params>(mapMlp, params), problem, (x, y) =>
        crossEntropy(perceptron(params, x), y),
      );
    },
    blockStep(problem) {
      const params = mapBlock(problem.params, variable);
      return training(leavesOf<tf.Variable, typeof params>(mapBlock, params), problem, (x, y) =>
        tf.mean<tf.Scalar>(tf.square(tf.sub(block(params, x, problem.heads), y))),
      );
    },
  };
}

function product({ a, b, transposeA, transposeB }: ProductProblem): Task {
  const [left, right] = [place(a), place(b)];
  return {
    async run() {
      const result = tf.matMul(left, right, transposeA, transposeB);
      const corner = tf.slice(result, [0, 0], [1, 1]);
      const [value] = await corner.data();
      tf.dispose([result, corner]);
      return value as number;
    },
    values: () => read(tf.matMul(left, right, transposeA, transposeB)),
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

function norm({ gain, bias }: Norm<tf.Tensor>, x: tf.Tensor): tf.Tensor {
  const centered = tf.sub(x, tf.mean(x, -1, true));
  const deviation = tf.sqrt(tf.add(tf.mean(tf.square(centered), -1, true), 1e-5));
  return tf.add(tf.mul(tf.div(centered, deviation), gain), bias);
}

/** `[batch, tokens, width]` → the same. */
function block(p: Block<tf.Tensor>, x: tf.Tensor, heads: number): tf.Tensor {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const normal = norm(p.ln1, x);
  const inHeads = (map: Linear<tf.Tensor>) =>
    tf.transpose(tf.reshape(linear(map, normal), [batch, tokens, heads, width / heads]), [0, 2, 1, 3]);
  const { query, key, value, out } = p.attention;
  const scores = tf.mul(tf.matMul(inHeads(query), inHeads(key), false, true), (width / heads) ** -0.5);
  const attended = tf.transpose(tf.matMul(tf.softmax(scores), inHeads(value)), [0, 2, 1, 3]);
  const y = tf.add(x, linear(out, tf.reshape(attended, [batch, tokens, width])));
  return tf.add(y, linear(p.mlp.down, gelu(linear(p.mlp.up, norm(p.ln2, y)))));
}
