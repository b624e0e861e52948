/** What generated code looks like, and that one text serves many shapes. */
import type { Launch } from '@clipin/kernel';
import { expect, test } from 'vitest';
import { addLaunch, matmulLaunch, reduceLaunch, softmaxLaunch } from '../test-kernels';
import { generate } from './generate';
import { lower } from './lower';
import { profiles } from './profile';

const dispatches = (launch: Launch, profile: keyof typeof profiles = 'software') =>
  lower(launch, profiles[profile]).tasks.flatMap((task) => generate(task, profiles[profile]) ?? []);
const textOf = (launch: Launch, profile: keyof typeof profiles = 'software') =>
  dispatches(launch, profile)
    .map(({ code }) => code)
    .join('\n');

test('contiguous elements of any rank are one axis of vec4', () => {
  expect(textOf(addLaunch([6, 4, 10]))).toBe(textOf(addLaunch([7])));
  expect(textOf(addLaunch([6, 4, 10]))).toMatchInlineSnapshot(`
    "@group(0) @binding(0) var<uniform> params: array<vec4<i32>, 1>;
    @group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
    @group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
    @group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
      let p0 = params[0].x;
      let p1 = params[0].y;
      let group = at.y * grid.x + at.x;
      if (group >= u32(p1)) { return; }
      let id = group * 64u + lane;
      if (id >= u32(p0)) { return; }
      let i_0 = i32(id);
      let i_1 = i_0 * 4;
      let v_2 = b0[(i_1) >> 2u];
      let v_3 = b1[(i_1) >> 2u];
      let v_4 = v_2 + v_3;
      b2[(i_1) >> 2u] = v_4;
    }
    "
  `);
});

test('a broadcast row is read as it lies', () => {
  expect(textOf(addLaunch([8, 12], [12, 1], [0, 1]))).toMatchInlineSnapshot(`
    "@group(0) @binding(0) var<uniform> params: array<vec4<i32>, 2>;
    @group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
    @group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
    @group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
      let p0 = params[0].x;
      let p1 = params[0].y;
      let p2 = params[0].z;
      let p3 = params[0].w;
      let p4 = params[1].x;
      let group = at.y * grid.x + at.x;
      if (group >= u32(p4)) { return; }
      let id = group * 64u + lane;
      if (id >= u32(p0)) { return; }
      let i_1 = i32(id % u32(p1));
      let r_2 = id / u32(p1);
      let i_0 = i32(r_2);
      let i_3 = i_1 * 4;
      let v_4 = b0[(i_0 * p2 + i_3) >> 2u];
      let v_5 = b1[(i_3) >> 2u];
      let v_6 = v_4 + v_5;
      b2[(i_0 * p3 + i_3) >> 2u] = v_6;
    }
    "
  `);
});

test('the sum of rows folds four lanes', () => {
  expect(textOf(reduceLaunch([32], [128], [128, 1]))).toMatchInlineSnapshot(`
    "@group(0) @binding(0) var<uniform> params: array<vec4<i32>, 1>;
    @group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
    @group(0) @binding(2) var<storage, read_write> b1: array<f32>;
    @compute @workgroup_size(16)
    fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
      let p0 = params[0].x;
      let p1 = params[0].y;
      let p2 = params[0].z;
      let p3 = params[0].w;
      let group = at.y * grid.x + at.x;
      if (group >= u32(p3)) { return; }
      let id = group * 16u + lane;
      if (id >= u32(p0)) { return; }
      let i_0 = i32(id);
      var acc = vec4<f32>(0f);
      for (var point = 0; point < p1; point += 1) {
      let i_1 = i32(u32(point));
      let i_2 = i_1 * 4;
      let v_3 = b0[(i_0 * p2 + i_2) >> 2u];
      acc = acc + v_3;
      }
      let h_4 = acc.x + acc.y;
      let h_5 = acc.z + acc.w;
      let total = h_4 + h_5;
      b1[i_0] = total;
    }
    "
  `);
});

test('sizes are parameters: one text for all matrices of one layout', () => {
  const [first, second] = [matmulLaunch({ m: 64, n: 96, k: 128 }), matmulLaunch({ m: 256, n: 72, k: 40 })];
  expect(textOf(first)).toBe(textOf(second));
  const big = { m: 2048, n: 2048, k: 2048 };
  expect(textOf(matmulLaunch(big), 'hardware')).toBe(textOf(matmulLaunch({ ...big, k: 512 }), 'hardware'));
});

test('rows of all lengths have one text, but for those that four lanes do not divide or more invocations share', () => {
  expect(textOf(softmaxLaunch(8, 128))).toBe(textOf(softmaxLaunch(100, 4096)));
  expect(textOf(softmaxLaunch(8, 30), 'hardware')).toBe(textOf(softmaxLaunch(100, 50), 'hardware'));
  expect(textOf(softmaxLaunch(8, 128), 'hardware')).toBe(textOf(softmaxLaunch(100, 512), 'hardware'));
  expect(textOf(softmaxLaunch(8, 128))).not.toContain('workgroupBarrier');
});

test('batches that share the right operand become rows', () => {
  const { kernel, ...rest } = matmulLaunch({ batch: [6], m: 8, n: 16, k: 4 });
  if (kernel.kind !== 'matmul') throw new Error('not a product');
  const shared = { ...kernel, b: { input: 1, index: { offset: 0, strides: [0, 16, 1] } } };
  expect(dispatches({ ...rest, kernel: shared })).toEqual(dispatches(matmulLaunch({ m: 48, n: 16, k: 4 })));
});

test('long sums come in two steps, short ones in one', () => {
  expect(dispatches(reduceLaunch([], [100_000], [1]))).toHaveLength(2);
  expect(dispatches(reduceLaunch([4096], [512], [512, 1]), 'hardware')).toHaveLength(1);
  expect(dispatches(reduceLaunch([], [100], [1]))).toHaveLength(1);
});

test('nothing to do is no dispatch', () => {
  expect(dispatches(addLaunch([3, 0]))).toEqual([]);
  expect(dispatches(matmulLaunch({ m: 0, n: 4, k: 4 }))).toEqual([]);
});
