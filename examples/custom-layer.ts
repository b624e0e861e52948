/**
 * A layer of one's own: SwiGLU (Shazeer 2020), which is not in `@clipin/nn`, composed with layers that are, and trained
 * to tell the two arms of a spiral apart.
 *
 *     npm run example examples/custom-layer.ts
 */
import { valueAndGrad } from '@clipin/autograd';
import { initEach, layer, layerNorm, linear, type ParamsOf, silu, summary } from '@clipin/nn';
import { adamW, applyUpdates, isMatrix, type StateOf } from '@clipin/optim';
import { evaluate, init, jit, randomKey, splitKey, type Tensor, tensor } from '@clipin/tensor';

/** `(silu(x U) ⊙ x V) W`: `[rows, width]` → `[rows, width]`. */
function swiGlu(width: number, hidden: number) {
  const [gate, up] = [linear(width, hidden), linear(width, hidden)];
  const down = linear(hidden, width);
  return layer({
    init: (key) => initEach(key, { gate, up, down }),
    apply: (params, x: Tensor) =>
      down.apply(params.down, silu(gate.apply(params.gate, x)).mul(up.apply(params.up, x))),
  });
}

/** `depth` residual blocks between two linear maps: `[rows, 2]` → logits `[rows]`. */
function classifier(width: number, depth: number) {
  const [first, norm, glu, last] = [
    linear(2, width),
    layerNorm(width),
    swiGlu(width, 2 * width),
    linear(width, 1),
  ];
  const block = layer({
    init: (key) => initEach(key, { norm, glu }),
    apply: (params, x: Tensor) => x.add(glu.apply(params.glu, norm.apply(params.norm, x))),
  });
  const blocks = { init: (key: Tensor) => splitKey(key, depth).map((own) => block.init(own)) };
  return layer({
    init: (key) => initEach(key, { first, blocks, last }),
    apply(params, points: Tensor) {
      const start = first.apply(params.first, points);
      const features = params.blocks.reduce((x, own) => block.apply(own, x), start);
      return last.apply(params.last, features).squeeze(1);
    },
  });
}

/** Two arms of a spiral: points `[2n, 2]` and which arm each is on, 1 or -1, `[2n]`. */
function spiral(n: number, phase: number) {
  const along = Array.from({ length: 2 * n }, (_, i) => ((i >> 1) + phase) / n);
  const sign = (i: number) => (i % 2 === 0 ? 1 : -1);
  const points = along.map((t, i) => [sign(i) * t * Math.cos(9 * t), sign(i) * t * Math.sin(9 * t)]);
  return { points: tensor(points), arms: tensor(along.map((_, i) => sign(i))) };
}

const device = await init();
console.log(`device: ${device.description}\n`);

const model = classifier(24, 2);
type Params = ParamsOf<typeof model>; // inferred from the layers: params.blocks[0].glu.gate.weight is a Tensor
let params: Params = evaluate(model.init(randomKey(0)));
console.log(`${summary(params)}\n`);

/** Mean of `log(1 + exp(−arm · logit))`. */
const loss = (p: Params, { points, arms }: ReturnType<typeof spiral>) =>
  model.apply(p, points).mul(arms).neg().exp().add(1).log().mean();

const rule = adamW({ learningRate: 0.01, weightDecay: 0.01, mask: isMatrix });
let state = evaluate(rule.init(params));
const step = jit(
  (p: Params, s: StateOf<typeof rule, Params>, data: ReturnType<typeof spiral>) => {
    const [value, gradients] = valueAndGrad(loss)(p, data);
    const [updates, next] = rule.update(gradients, s, p);
    return { params: applyUpdates(p, updates), state: next, loss: value };
  },
  { donate: [0, 1] },
);

const training = spiral(200, 0);
for (let i = 1; i <= 300; i++) {
  const result = step(params, state, training);
  ({ params, state } = result);
  if (i % 60 === 0) console.log(`step ${i}: loss ${(await result.loss.item()).toFixed(4)}`);
}

const test = spiral(200, 0.5); // the points between
const right = model.apply(params, test.points).mul(test.arms).greater(0).cast('f32').mean();
console.log(`\nright on new points: ${(100 * (await right.item())).toFixed(1)} %`);
