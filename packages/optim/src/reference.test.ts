/**
 * Update rules against PyTorch 1.13 in float64. The numbers come from this program:
 *
 *     import math, torch
 *     torch.set_default_dtype(torch.float64)
 *     w = torch.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
 *     b = torch.tensor([0.1, -0.3], requires_grad=True)
 *     x = torch.tensor([[1.0, 2.0], [-0.5, 0.3], [0.7, -1.1]])
 *     opt = torch.optim.AdamW([{'params': [w], 'weight_decay': 0.1}, {'params': [b], 'weight_decay': 0.0}],
 *                             betas=(0.9, 0.98), eps=1e-6)
 *     for step in range(8):
 *         lr = 0.01 * (step + 1) / 3 if step < 3 else 0.005 * (1 + math.cos(math.pi * (step - 3) / 7))
 *         for group in opt.param_groups: group['lr'] = lr
 *         opt.zero_grad()
 *         loss = ((x @ w + b) ** 4).sum()
 *         loss.backward()
 *         norm = torch.sqrt(w.grad.pow(2).sum() + b.grad.pow(2).sum())
 *         for p in (w, b): p.grad.mul_(min(1.0, (5.0 / norm).item()))
 *         opt.step()
 *         print(lr, loss.item(), norm.item())
 *     print(w, b)
 *     w = torch.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
 *     opt = torch.optim.SGD([w], lr=0.01, momentum=0.9)
 *     for step in range(5): opt.zero_grad(); ((x @ w) ** 2).sum().backward(); opt.step()
 *     print(w)
 */
import { valueAndGrad } from '@clipin/autograd';
import { evaluate, full, init, type Tensor, tensor } from '@clipin/tensor';
import { beforeAll, expect, it } from 'vitest';
import {
  adamW,
  applyUpdates,
  chain,
  clipByGlobalNorm,
  globalNorm,
  isMatrix,
  sgd,
  warmupCosine,
} from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const values = async (x: Tensor) => Array.from(await x.data());
const start = () => ({
  w: tensor([
    [0.5, -1],
    [2, 0.25],
  ]),
  b: tensor([0.1, -0.3]),
});
const inputs = () =>
  tensor([
    [1, 2],
    [-0.5, 0.3],
    [0.7, -1.1],
  ]);

async function expectClose(actual: Tensor, expected: readonly number[], digits = 12) {
  const got = await values(actual);
  expect(got).toHaveLength(expected.length);
  got.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, digits);
  });
}

it('adamW with clipping, warm-up, cosine and a decay mask agrees with PyTorch', async () => {
  const expected = [
    [0.0033333333333333335, 460.22348828124984, 958.9683262602173],
    [0.006666666666666667, 454.4253121202, 949.7855119385792],
    [0.01, 443.00378458201976, 931.6032662133845],
    [0.01, 426.30393807636, 904.7874643381077],
    [0.009504844339512096, 410.1158116051849, 878.5195888379629],
    [0.008117449009293669, 395.1937493130433, 854.0551929040939],
    [0.006112604669781572, 382.8014535822833, 833.5465413046878],
    [0.003887395330218428, 373.68023964837334, 818.3355690657926],
  ] as const;
  const learningRate = warmupCosine({ peak: 0.01, warmupSteps: 3, totalSteps: 10 });
  const rule = chain(
    clipByGlobalNorm(5),
    adamW({ learningRate, b2: 0.98, epsilon: 1e-6, weightDecay: 0.1, mask: isMatrix }),
  );
  const x = inputs();
  const step = valueAndGrad(({ w, b }: ReturnType<typeof start>) =>
    x.matmul(w).add(b).square().square().sum(),
  );
  let params = start();
  let state = rule.init(params);
  for (const [i, [rate, loss, norm]] of expected.entries()) {
    const [value, gradients] = step(params);
    expect(await value.item()).toBeCloseTo(loss, 9);
    expect(await globalNorm(gradients).item()).toBeCloseTo(norm, 9);
    expect(await learningRate(full([], i, { dtype: 'i32' })).item()).toBeCloseTo(rate, 15);
    const [updates, next] = rule.update(gradients, state, params);
    params = evaluate(applyUpdates(params, updates));
    state = evaluate(next);
  }
  await expectClose(
    params.w,
    [0.43965925995443467, -0.9369424540461946, 1.9310178171733299, 0.19228113477704173],
  );
  await expectClose(params.b, [0.04239617053673538, -0.24259704911850247]);
});

it('sgd with momentum agrees with PyTorch', async () => {
  const rule = sgd({ learningRate: 0.01 });
  const x = inputs();
  let { w } = start();
  let state = rule.init({ w });
  for (let i = 0; i < 5; i++) {
    const [, gradients] = valueAndGrad((p: { w: Tensor }) => x.matmul(p.w).square().sum())({ w });
    const [updates, next] = rule.update(gradients, state, { w });
    ({ w } = evaluate(applyUpdates({ w }, updates)));
    state = evaluate(next);
  }
  await expectClose(
    w,
    [-0.10118258388694515, -0.6411375510442712, -0.22463607314216055, 0.18279617056177033],
  );
});
