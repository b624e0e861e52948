import { createReferenceDevice } from '@clipin/kernel';
import { evaluate, normal, randomKey, setDefaultDevice, type Tensor, tensor, zeros } from './index';
import { schedule } from './schedule/schedule';

const device = setDefaultDevice(createReferenceDevice());
const limits = { ...device.limits, kernelBuffers: 8 };
const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(1));
const show = (name: string, ...o: Tensor[]) => {
  console.log('##', name);
  for (const s of schedule(o, limits))
    console.log(
      s.outputs.map((x) => `${x.id}:${x.operation.kind}[${x.shape}]`).join(),
      '<-',
      s.inputs.map((x) => x.id).join(),
      s.kernel.kind,
      s.kernel.kind === 'loop'
        ? [
            s.kernel.axes,
            s.kernel.reduction?.op,
            s.kernel.reduction?.program.map((p) => p.op).join(' '),
            '|',
            s.kernel.program.map((p) => p.op).join(' '),
          ].join(' ')
        : s.kernel.kind === 'matmul'
          ? s.kernel.program.map((p) => p.op).join(' ')
          : '',
    );
};
const gelu = (x: Tensor): Tensor => x.mul(0.5).mul(x.div(Math.SQRT2).erf().add(1));
const layerNorm = (x: Tensor, gain: Tensor, bias: Tensor): Tensor => {
  const centered = x.sub(x.mean(-1, { keepDims: true }));
  const spread = centered.square().mean(-1, { keepDims: true }).add(1e-5).sqrt();
  return centered.div(spread).mul(gain).add(bias);
};
show('gelu', gelu(leaf(2, 3, 4).matmul(leaf(6, 4).transpose()).add(leaf(6))));
show('ln', layerNorm(leaf(6, 8), leaf(8), leaf(8)));
show('ln3', layerNorm(leaf(6, 8).add(leaf(6, 8)).add(leaf(6, 8)), leaf(8), leaf(8)));
show('normal', normal(evaluate(randomKey(1)), [100]));
