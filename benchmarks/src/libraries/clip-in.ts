/** clip-in on its WebAssembly device, from the workspace's sources. */
import { valueAndGrad } from '@clipin/autograd';
import { mlp, relu, transformerBlock } from '@clipin/nn';
import { evaluate, init, jit, logSoftmax, mapTree, type Tensor, tensor } from '@clipin/tensor';
import {
  joined,
  type Library,
  leavesOf,
  mapBlock,
  mapMlp,
  type ProductProblem,
  type Task,
  type Values,
} from '../library';

/** Starts a device of so many threads. */
export async function clipIn(threads: number): Promise<Library> {
  const device = await init({ device: 'wasm', threads });
  const place = ({ data, shape }: Values) => tensor(data, shape, { device });

  function product({ a, b, transposeA, transposeB }: ProductProblem): Task {
    const [left, right] = [place(a), place(b)];
    const multiply = jit((x: Tensor, y: Tensor) =>
      (transposeA ? x.transpose() : x).matmul(transposeB ? y.transpose() : y),
    );
    return {
      async run() {
        using result = multiply(left, right);
        return result.slice([0, 1], [0, 1]).item();
      },
      async values() {
        return read(multiply(left, right));
      },
    };
  }

  function training<P>(
    start: P,
    loss: (params: P, input: Tensor, target: Tensor) => Tensor,
    { input, target, learningRate }: { input: Values; target: Values; learningRate: number },
    list: (params: P) => Tensor[],
  ): Task {
    const [x, y] = [place(input), place(target)];
    let params = evaluate(start);
    const step = jit(
      (p: P, xs: Tensor, ys: Tensor) => {
        const [value, gradients] = valueAndGrad(loss)(p, xs, ys);
        return { value, params: mapTree((w, g) => w.sub(g.mul(learningRate)), p, gradients) };
      },
      { donate: [0] },
    );
    return {
      async run() {
        const result = step(params, x, y);
        params = result.params;
        using value = result.value;
        return value.item();
      },
      async values() {
        return joined(await Promise.all(list(params).map(read)));
      },
    };
  }

  return {
    name: 'clip-in',
    threads,
    product,
    mlpStep(problem) {
      const { up, down } = problem.params;
      const [inputs, hidden] = up.weight.shape as readonly [number, number];
      const model = mlp({ inputs, hidden, outputs: down.bias.data.length, activation: relu });
      return training(
        mapMlp(problem.params, place),
        (p, x, y) => logSoftmax(model.apply(p, x)).mul(y).sum(-1).mean().neg(),
        problem,
        (p) => leavesOf<Tensor, typeof p>(mapMlp, p),
      );
    },
    blockStep(problem) {
      const width = problem.input.shape.at(-1) as number;
      const block = transformerBlock({ width, depth: 1, heads: problem.heads });
      return training(
        mapBlock(problem.params, place),
        (p, x, y) => block.apply(p, x).sub(y).square().mean(),
        problem,
        (p) => leavesOf<Tensor, typeof p>(mapBlock, p),
      );
    },
  };
}

async function read(x: Tensor): Promise<Float32Array> {
  return Float32Array.from(await x.data());
}
