/** Counters of live memory: what is freed, when, and that a loop holds it constant. */
import { createReferenceDevice, type Device } from '@clipin/kernel';
import { beforeEach, describe, expect, test } from 'vitest';
import { collectBeforeGrowing } from './collect';
import { evaluate, jit, setDefaultDevice, type Tensor, tensor } from './index';

let device: Device;
beforeEach(() => {
  device = setDefaultDevice(createReferenceDevice());
});

/** Collects garbage until finalizers have run. */
async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

const numbers = (n: number) => tensor(new Float64Array(n));

describe('freed', () => {
  test('at once by dispose and by using', () => {
    const x = numbers(10);
    expect({ ...device.memory }).toEqual({ bytes: 80, buffers: 1 });
    {
      using y = evaluate(x.add(1));
      expect(y.size).toBe(10);
      expect({ ...device.memory }).toEqual({ bytes: 160, buffers: 2 });
    }
    x.dispose();
    expect({ ...device.memory }).toEqual({ bytes: 0, buffers: 0 });
  });

  test('scratch memory, as soon as a value is there', () => {
    const x = evaluate(numbers(10).reshape([2, 5]));
    const y = evaluate(x.matmul(x.transpose()).sin().matmul(x).exp().sum());
    expect(device.memory.bytes).toBe(80 + 80 + 8);
    expect(y.rank).toBe(0);
  });

  test('by the garbage collector, when nobody can reach a tensor any more', async () => {
    const kept = numbers(5);
    (() => {
      for (let i = 0; i < 50; i++) evaluate(numbers(100).add(kept.sum()));
    })();
    expect(device.memory.buffers).toBeGreaterThan(50);
    await collect();
    expect({ ...device.memory }).toEqual({ bytes: 40, buffers: 1 });
    expect(kept.size).toBe(5);
  });

  test('what a computed tensor was made of', async () => {
    const x = await (async () => {
      const made = numbers(100).add(1).sum();
      await made.data();
      return made;
    })();
    await collect();
    expect({ ...device.memory }).toEqual({ bytes: 8, buffers: 1 });
    expect(await x.item()).toBe(100);
  });
});

test('a training loop under jit holds its memory constant over 1,000 steps', async () => {
  const step = jit(
    (state: { w: Tensor; m: Tensor; t: Tensor }, x: Tensor, y: Tensor) => {
      const error = x.matmul(state.w).sub(y);
      const slope = x
        .transpose()
        .matmul(error)
        .mul(2 / 4);
      const m = state.m.mul(0.9).add(slope);
      return { state: { w: state.w.sub(m.mul(0.02)), m, t: state.t.add(1) }, loss: error.square().mean() };
    },
    { donate: [0] },
  );
  let state = { w: tensor([[0], [0]]), m: tensor([[0], [0]]), t: tensor(Int32Array.of(0), []) };
  const x = tensor([
    [1, 2],
    [3, 1],
    [0, 1],
    [2, 2],
  ]);
  const y = tensor([[5], [5], [2], [6]]);
  // Values that are given back are gone at once; others when the collector comes by, but for the very last.
  let last: number | undefined;
  const seen = new Set<string>();
  for (let i = 0; i < 500; i++) {
    const { state: next, loss } = step(state, x, y);
    state = next;
    last = await loss.item();
    loss.dispose();
    seen.add(JSON.stringify(device.memory));
  }
  expect([...seen]).toHaveLength(1);
  const { buffers } = device.memory;
  for (let i = 0; i < 500; i++) {
    ({ state } = step(state, x, y));
    if (i % 100 !== 99) continue;
    await collect();
    expect(device.memory.buffers).toBeLessThanOrEqual(buffers + 1);
  }
  expect(last).toBeLessThan(1e-12);
  expect(await state.t.item()).toBe(1000);
});

describe('an allocation that fails', () => {
  test('leaves everything usable and nothing behind', async () => {
    let left = 4;
    const strict: Device = {
      ...device,
      get memory() {
        return device.memory;
      },
      allocate(dtype, length) {
        if (left-- <= 0) throw new Error(`no memory for ${length} elements`);
        return device.allocate(dtype, length);
      },
    };
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      [2, 2],
      { device: strict },
    );
    const step = jit((w: Tensor) => w.matmul(w).sin().matmul(w), { donate: [0] });
    const y = x.matmul(x).exp().matmul(x).sum(0);
    const before = { ...device.memory };
    left = 1;
    await expect(y.data()).rejects.toThrow('no memory for');
    left = 0;
    expect(() => step(x)).toThrow('no memory for');
    expect({ ...device.memory }).toEqual(before);
    left = 100;
    expect(Array.from(await y.data()).every(Number.isFinite)).toBe(true);
    expect((await step(x).data()).length).toBe(4);
  });
});

describe('collect before growing', () => {
  const fill = () => {
    for (let i = 0; i < 20; i++) numbers(1000);
  };

  test('collects when live bytes have doubled, and not before', async () => {
    fill();
    await new Promise((resolve) => setTimeout(resolve));
    await collectBeforeGrowing(device, 1e9);
    expect(device.memory.buffers).toBe(20);
    for (let i = 0; i < 3 && device.memory.buffers > 0; i++) await collectBeforeGrowing(device, 1000);
    expect(device.memory.buffers).toBe(0);
  });

  test('finds the collector without flags', async () => {
    const { spawnSync } = await import('node:child_process');
    const program = `
      import { createReferenceDevice } from '@clipin/kernel';
      import { setDefaultDevice, tensor } from './src/index.ts';
      import { collectBeforeGrowing } from './src/collect.ts';
      const device = setDefaultDevice(createReferenceDevice());
      for (let i = 0; i < 20; i++) tensor(new Float64Array(1000));
      await new Promise((resolve) => setTimeout(resolve));
      await collectBeforeGrowing(device, 1000);
      console.log(typeof globalThis.gc, device.memory.buffers);
    `;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--conditions=clipin-source', '--import', 'tsx', '--input-type=module', '--eval', program],
      { cwd: new URL('..', import.meta.url), encoding: 'utf8' },
    );
    expect(stdout.trim(), stderr).toBe('undefined 0');
  });
});
