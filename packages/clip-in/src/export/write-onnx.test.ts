import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from './onnx-graph';
import { writeOnnx } from './write-onnx';

let folder: string;
beforeAll(async () => {
  ort.env.wasm.numThreads = 1;
  folder = await mkdtemp(join(tmpdir(), 'clipin-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const [long, short] = [Float32Array.from({ length: 1500 }, (_, i) => i), Float32Array.of(7, 8, 9)];

/** `(x + long)[..3] + short` */
function graphOf(weights: { readonly long: Float32Array; readonly short: Float32Array } = { long, short }) {
  const graph = new OnnxGraph();
  const x = graph.input('x', ['any', 1500]);
  const sum = graph.node('Add', [x, graph.weight({ shape: [1500], data: () => weights.long }, 'long')]);
  const range = [[0], [3], [1]].map((values) => graph.integers(values));
  const part = graph.node('Slice', [sum, ...range]);
  const last = graph.weight({ shape: [3], data: async () => weights.short }, 'short');
  graph.output('y', graph.node('Add', [part, last]), ['any', 3]);
  return graph;
}

async function run(session: ort.InferenceSession): Promise<number[]> {
  const x = new ort.Tensor('float32', new Float32Array(3000).fill(100), [2, 1500]);
  const { y } = await session.run({ x });
  return Array.from((y as ort.Tensor).data as Float32Array);
}

const wanted = [107, 109, 111, 107, 109, 111];

describe('writeOnnx', () => {
  it('writes one file, without a trace of the way', async () => {
    const directory = await mkdtemp(join(folder, 'one-'));
    const file = join(directory, 'a.onnx');
    expect(await writeOnnx(file, graphOf())).toEqual([file]);
    expect(await readdir(directory)).toEqual(['a.onnx']);
    expect(await run(await ort.InferenceSession.create(await readFile(file)))).toEqual(wanted);
  });

  it('writes large weights beside the model, each from a page on', async () => {
    const directory = await mkdtemp(join(folder, 'two-'));
    const file = join(directory, 'a.onnx');
    const data = `${file}.data`;
    expect(await writeOnnx(file, graphOf(), { externalFrom: 6000 })).toEqual([file, data]);
    expect((await readdir(directory)).sort()).toEqual(['a.onnx', 'a.onnx.data']);
    expect((await stat(data)).size).toBe(3 * 4096); // 6000 bytes are two pages, 12 bytes one
    expect((await stat(file)).size).toBeLessThan(1000);
    const externalData = [{ path: 'a.onnx.data', data: await readFile(data) }];
    expect(await run(await ort.InferenceSession.create(await readFile(file), { externalData }))).toEqual(
      wanted,
    );
    await writeOnnx(file, graphOf());
    expect(await readdir(directory)).toEqual(['a.onnx']); // the old weights are gone
  });

  it('leaves what was there when it fails, and names the path', async () => {
    const directory = await mkdtemp(join(folder, 'failed-'));
    const file = join(directory, 'a.onnx');
    await writeFile(file, 'before');
    for (const externalFrom of [0, 1e9]) {
      const broken = graphOf({ long, short: Float32Array.of(1) });
      await expect(writeOnnx(file, broken, { externalFrom })).rejects.toThrow(
        `saving ${file} failed: OnnxGraph: "short" of shape [3] has 1 numbers`,
      );
    }
    expect(await readFile(file, 'utf8')).toBe('before');
    expect(await readdir(directory)).toEqual(['a.onnx']);
    const taken = join(directory, 'taken.onnx');
    await mkdir(join(taken, 'full'), { recursive: true });
    await expect(writeOnnx(taken, graphOf())).rejects.toThrow(`saving ${taken} failed`);
    expect((await readdir(directory)).sort()).toEqual(['a.onnx', 'taken.onnx']);
  });
});
