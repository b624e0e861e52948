/** `jit`: traced once, replayed with the same results, donated memory, and what is refused. */
import { createReferenceDevice, type Device } from '@clipin/kernel';
import { beforeEach, describe, expect, test } from 'vitest';
import { evaluate, full, jit, setDefaultDevice, type Tensor, tensor, zeros } from './index';

let device: Device;
beforeEach(() => {
  device = setDefaultDevice(createReferenceDevice());
});

const read = async (x: Tensor) => Array.from(await x.data());

describe('tracing', () => {
  test('once for each structure, shape, dtype and static argument', async () => {
    let traces = 0;
    const f = jit((tree: { x: Tensor; y?: Tensor }, factor: number | undefined | string | null) => {
      traces++;
      return tree.x.mul(Number(factor));
    });
    const run = async (...args: Parameters<typeof f>) => ({ values: await read(f(...args)), traces });
    const x = tensor([1, 2]);
    expect(await run({ x }, 2)).toEqual({ values: [2, 4], traces: 1 });
    expect(await run({ x: tensor([3, 4]) }, 2)).toEqual({ values: [6, 8], traces: 1 });
    expect(await run({ x }, 3)).toEqual({ values: [3, 6], traces: 2 });
    expect(await run({ x: tensor([1]) }, 3)).toEqual({ values: [3], traces: 3 });
    expect(await run({ x, y: x }, 3)).toEqual({ values: [3, 6], traces: 4 });
    expect(await run({ x: x.reshape([2, 1]) }, 3)).toEqual({ values: [3, 6], traces: 5 });
    expect(await run({ x }, 2)).toEqual({ values: [2, 4], traces: 5 });
    // Numbers that JSON does not tell apart.
    expect(await run({ x }, Number.POSITIVE_INFINITY)).toEqual({ values: [Infinity, Infinity], traces: 6 });
    expect(await run({ x }, Number.NEGATIVE_INFINITY)).toEqual({ values: [-Infinity, -Infinity], traces: 7 });
    expect(await run({ x }, undefined)).toEqual({ values: [NaN, NaN], traces: 8 });
    expect(await run({ x }, null)).toEqual({ values: [0, 0], traces: 9 });
    expect(await run({ x }, 0)).toEqual({ values: [0, 0], traces: 10 });
    expect(await run({ x }, -0)).toEqual({ values: [-0, -0], traces: 11 });
    expect(await run({ x }, '2')).toEqual({ values: [2, 4], traces: 12 });
  });

  test('dtypes are part of the key', () => {
    let traces = 0;
    const f = jit((x: Tensor) => {
      traces++;
      return x.add(x);
    });
    for (const dtype of ['f32', 'i32', 'u32', 'f32'] as const)
      expect(f(full([2], 1, { dtype })).dtype).toBe(dtype);
    expect(traces).toBe(3);
  });

  test('constants NaN, infinities and signed zeros stay apart', async () => {
    const f = jit((x: Tensor) =>
      [Number.NaN, Infinity, -Infinity, 0, -0].map((value) => full([], 1).div(full([], value)).mul(x)),
    );
    const values = await Promise.all(f(tensor(1)).map((x) => x.item()));
    expect(values).toEqual([NaN, 0, -0, Infinity, -Infinity]);
  });

  test('without tensors among the arguments the function is called as it is', async () => {
    expect(await read(jit((n: number) => full([2], n))(3))).toEqual([3, 3]);
  });

  test('inside jit it is called as it is', async () => {
    let traces = 0;
    const inner = jit((x: Tensor) => {
      traces++;
      return x.exp();
    });
    const outer = jit((x: Tensor) => inner(inner(x)));
    expect(await read(outer(tensor([0])))).toEqual([Math.E]);
    expect(await read(outer(tensor([0])))).toEqual([Math.E]);
    expect(traces).toBe(2);
  });

  test('an error of the function leaves jit usable', async () => {
    const f = jit((x: Tensor, fail: boolean) => {
      if (fail) throw new Error('mine');
      return x.add(1);
    });
    expect(() => f(tensor([1]), true)).toThrow('mine');
    expect(await read(f(tensor([1]), false))).toEqual([2]);
  });
});

describe('arguments and results', () => {
  test('an argument handed back is the same tensor; an output twice is one tensor', async () => {
    const f = jit((x: Tensor) => {
      const y = x.add(1);
      return { same: x, y, again: y };
    });
    const x = tensor([1, 2]);
    const { same, y, again } = f(x);
    expect(same).toBe(x);
    expect(again).toBe(y);
    expect(await read(y)).toEqual([2, 3]);
  });

  test('what the function closed over', async () => {
    const held = tensor([10, 20]);
    const lazy = held.exp().mul(0).add(5);
    const constant = zeros([2]);
    const f = jit((x: Tensor) => ({
      sum: x.add(held).add(lazy),
      lazy,
      held,
      constant,
      shifted: lazy.add(1),
    }));
    for (let call = 0; call < 2; call++) {
      const out = f(tensor([1, 2]));
      expect(await read(out.sum)).toEqual([16, 27]);
      expect(await read(out.lazy)).toEqual([5, 5]);
      expect(await read(out.held)).toEqual([10, 20]);
      expect(await read(out.constant)).toEqual([0, 0]);
      expect(await read(out.shifted)).toEqual([6, 6]);
    }
    held.dispose();
    expect(() => f(tensor([1, 2]))).toThrow('jit: a tensor that the function closed over was disposed');
  });

  test('gives back its scratch memory, and can be called again', async () => {
    const f = jit((x: Tensor) => x.matmul(x).matmul(x));
    const x = tensor([
      [1, 2],
      [3, 4],
    ]);
    const { buffers } = device.memory;
    using first = f(x);
    expect(device.memory.buffers).toBeGreaterThan(buffers + 1); // the result and scratch
    f.dispose();
    expect(device.memory.buffers).toBe(buffers + 1);
    using second = f(x);
    expect(await read(second)).toEqual(await read(first));
  });

  test('closing over a lazy tensor keeps it alone, not what it was made of', () => {
    const x = tensor([1, 2]);
    const before = device.memory.buffers;
    const lazy = x.add(1).exp().sum(0, { keepDims: true }).mul(2);
    jit((y: Tensor) => y.add(lazy))(x);
    expect(device.memory.buffers - before).toBe(2); // the lazy tensor and the result
  });

  test('arguments not computed yet, empty ones and unused ones', async () => {
    const f = jit((x: Tensor, empty: Tensor, _unused: Tensor) => [x.sum(), empty.sum(), empty.add(1)]);
    const [sum, nothing, none] = f(tensor([1, 2]).add(1), zeros([0, 3]), tensor([1]));
    expect(await sum?.item()).toBe(5);
    expect(await nothing?.item()).toBe(0);
    expect(await read(none as Tensor)).toEqual([]);
  });

  test('static results and nested trees come back', async () => {
    const out = jit((x: Tensor) => ({ name: 'a', list: [x.neg(), null, undefined, 2] as const }))(tensor(1));
    expect(out.name).toBe('a');
    expect(out.list.slice(1)).toEqual([null, undefined, 2]);
    expect(await out.list[0].item()).toBe(-1);
  });

  test('what is no tree is refused with its path', () => {
    const f = jit((_: unknown, x: Tensor) => x);
    expect(() => f({ batch: { pixels: new Float32Array(2) } }, tensor(1))).toThrow(
      'a tree cannot hold a Float32Array (at 0.batch.pixels)',
    );
    const bad = jit((x: Tensor) => ({ loss: x, log: new Map() }));
    expect(() => bad(tensor(1))).toThrow('a tree cannot hold a Map (at log)');
  });

  test('tensors of two devices are refused', () => {
    const other = tensor([1], [1], { device: createReferenceDevice() });
    expect(() => jit((x: Tensor, _y: Tensor) => x)(tensor([1]), other)).toThrow(
      /jit: .* are on different devices/,
    );
  });
});

describe('reading inside', () => {
  test('a promise is refused', () => {
    const f = jit(async (x: Tensor) => x.item());
    expect(() => f(tensor(1))).toThrow('jit: the function returned a promise');
  });

  test('a value is refused', async () => {
    const reads: Promise<unknown>[] = [];
    const f = jit((x: Tensor) => {
      reads.push(x.item().catch(String), x.add(1).item().catch(String));
      return x;
    });
    f(tensor(1));
    for (const message of await Promise.all(reads)) {
      expect(message).toMatch('a value was asked for inside a function that jit traces');
    }
  });
});

describe('donation', () => {
  const step = () =>
    jit((state: { w: Tensor; m: Tensor }, x: Tensor) => ({ w: state.w.add(x), m: state.m.mul(x).sum() }), {
      donate: [0],
    });

  test('a donated tensor cannot be used again', async () => {
    const state = { w: tensor([1, 2]), m: tensor([3, 4]) };
    const f = step();
    const next = f(state, tensor([1, 1]));
    expect(await read(next.w)).toEqual([2, 3]);
    expect(await next.m.item()).toBe(7);
    expect(() => state.w.add(1)).toThrow(
      /add: Tensor\(f32\[2\] on reference\) was donated to a jitted function/,
    );
    await expect(state.m.data()).rejects.toThrow('data: Tensor(f32[2] on reference) was donated');
    expect(() => f(state, tensor([1, 1]))).toThrow('jit: Tensor(f32[2] on reference) was donated');
  });

  test('memory stays as it is', async () => {
    const f = jit(
      (state: { w: Tensor; m: Tensor }, x: Tensor) => ({ w: state.w.add(x), m: state.m.mul(x) }),
      { donate: [0] },
    );
    let state = { w: tensor([1, 2]), m: tensor([3, 4]) };
    const x = tensor([1, 1]);
    state = f(state, x);
    const before = { ...device.memory };
    for (let i = 0; i < 10; i++) state = f(state, x);
    expect({ ...device.memory }).toEqual(before);
    expect(await read(state.w)).toEqual([12, 13]);
    expect(await read(state.m)).toEqual([3, 4]);
  });

  test('the same tensor twice, or donated and not, is refused', () => {
    const x = tensor([1, 2]);
    const message =
      'jit: Tensor(f32[2] on reference) is donated, but it is also another argument; pass it once';
    expect(() => step()({ w: x, m: x }, tensor([1, 1]))).toThrow(message);
    expect(() => step()({ w: tensor([1, 2]), m: tensor([1, 2]) }, x)).not.toThrow();
    expect(() => jit((a: Tensor, b: Tensor) => a.add(b), { donate: [1] })(x, x)).toThrow(message);
    expect(() => jit((a: Tensor, b: Tensor) => a.add(b))(x, x)).not.toThrow();
  });

  test('a donated argument handed back stays', async () => {
    const f = jit((x: Tensor, y: Tensor) => [x, y.add(1)] as const, { donate: [0, 1] });
    const [x, y] = [tensor([1, 2]), tensor([5, 6])];
    const [back, more] = f(x, y);
    expect(back).toBe(x);
    expect(await read(back)).toEqual([1, 2]);
    expect(await read(more)).toEqual([6, 7]);
    expect(() => y.add(1)).toThrow('was donated');
  });

  test('closing over a donated tensor is refused', () => {
    const w = tensor([1, 2]);
    const f = jit((x: Tensor) => x.add(w), { donate: [0] });
    expect(() => f(w)).toThrow('is donated, but the function also closed over it');
    f(tensor([1, 2]));
  });

  test('an output of another dtype does not take the memory', async () => {
    const f = jit((x: Tensor) => x.cast('f32').div(2), { donate: [0] });
    const half = f(tensor(Int32Array.of(1, -3)));
    expect(await read(half)).toEqual([0.5, -1.5]);
  });

  test('a loop finds its state in the same buffers every time', () => {
    const step = jit(
      (s: { p: Tensor; m: Tensor }, g: Tensor) => {
        const m = s.p.mul(0.1).add(g).add(s.m.mul(0.9)); // reads p first
        return { p: s.p.sub(m), m };
      },
      { donate: [0] },
    );
    let state = { p: tensor([5, 6]), m: tensor([0, 0]) };
    const buffers = () => [state.p.storage?.buffer, state.m.storage?.buffer];
    const before = buffers();
    for (let i = 0; i < 3; i++) {
      state = step(state, tensor([1, 2]));
      buffers().forEach((buffer, i) => {
        expect(buffer).toBe(before[i]);
      });
    }
  });

  test('updates in place read before they write', async () => {
    const f = jit(
      (x: Tensor) => ({ turned: x.flip(), total: x.sum(), shifted: x.slice([1]).pad([[0, 1]]) }),
      { donate: [0] },
    );
    const out = f(tensor([1, 2, 3]));
    expect(await read(out.turned)).toEqual([3, 2, 1]);
    expect(await read(out.shifted)).toEqual([2, 3, 0]);
    expect(await out.total.item()).toBe(6);
  });

  test('a position that no argument has is refused', () => {
    expect(() => jit((x: Tensor) => x, { donate: [-1] })).toThrow('jit: donate names argument -1');
  });
});

describe('warmup', () => {
  test('traces and compiles once, runs nothing, and takes no donated memory', async () => {
    const reference = createReferenceDevice();
    const done: string[] = [];
    setDefaultDevice({
      ...reference,
      load(launches) {
        const program = reference.load(launches);
        return {
          ...program,
          run(buffers) {
            done.push('run');
            program.run(buffers);
          },
          ready: async () => void done.push('ready'),
        };
      },
    });
    let traces = 0;
    const x = tensor([1, 2, 3]);
    const step = jit((w: Tensor) => ({ w: w.mul(2), n: ++traces }), { donate: [0] });
    await step.warmup(x);
    expect(done).toEqual(['ready']);
    expect(await step(x).w.data()).toEqual(Float64Array.of(2, 4, 6));
    expect(traces).toBe(1);
    expect(done).toEqual(['ready', 'run']);
    await expect(step.warmup(x)).rejects.toThrow('was donated');
  });

  test('without tensors there is nothing to compile', async () => {
    await expect(jit((n: number) => n + 1).warmup(1)).rejects.toThrow('warmup got no tensors');
  });

  test('tells the memory of the plan, and the least that could do', async () => {
    const x = evaluate(zeros([4, 4]));
    // Each product needs its operand and its result, 64 bytes each; a result is never in scratch memory.
    const chain = jit((m: Tensor) => m.matmul(m).matmul(m).matmul(m));
    expect(await chain.warmup(x)).toEqual({ kernels: 3, plannedBytes: 128 + 64, leastBytes: 128 });
    // In place: the donated argument becomes the result.
    const update = jit((m: Tensor) => m.sub(1), { donate: [0] });
    expect(await update.warmup(x)).toEqual({ kernels: 1, plannedBytes: 0, leastBytes: 0 });
  });
});
