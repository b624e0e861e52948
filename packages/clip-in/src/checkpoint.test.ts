import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { type Checkpoint, latestCheckpoint, loadCheckpoint, saveCheckpoint } from './checkpoint';

/** Every call that changes the disk passes here first; a test may let it fail. */
const fault = vi.hoisted(() => ({ before: (_operation: string): void => undefined }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const guarded =
    <A extends unknown[], R>(operation: string, run: (...args: A) => Promise<R>) =>
    async (...args: A) => {
      fault.before(operation);
      return run(...args);
    };
  const open: typeof real.open = async (...args) => {
    fault.before('open');
    const handle = await real.open(...args);
    handle.writeFile = guarded('write', handle.writeFile.bind(handle));
    handle.sync = guarded('sync', handle.sync.bind(handle));
    return handle;
  };
  return {
    ...real,
    open,
    mkdir: guarded('mkdir', real.mkdir),
    rename: guarded('rename', real.rename),
    rm: guarded('rm', real.rm),
  };
});

let root: string;
let directory: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-'));
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'run-'));
});
afterEach(() => {
  fault.before = () => undefined;
});

const at = (step: number): Checkpoint => ({
  tensors: {
    'params.weight': { dtype: 'f32', shape: [2, 2], data: new Float32Array(4).fill(step) },
    'state.key': { dtype: 'u32', shape: [2], data: Uint32Array.of(step, 1) },
  },
  info: {
    step,
    config: { model: 'tiny' },
    metrics: { loss: 1 / 3, diverged: NaN },
    state: { stage: 'contrastive' },
  },
});

it('saves and loads tensors and what is said of them', async () => {
  const path = await saveCheckpoint(join(directory, 'deep/er'), 'step-3', at(3));
  const loaded = await loadCheckpoint(path);
  expect(loaded).toEqual({
    path,
    ...at(3),
    info: { ...at(3).info, metrics: { loss: 1 / 3, diverged: null } },
  });
  expect((await loadCheckpoint(join(directory, 'deep/er'))).path).toBe(path);
  const json = JSON.parse(await readFile(join(path, 'checkpoint.json'), 'utf8'));
  expect(json).toMatchObject({
    step: 3,
    elements: 6,
    tensors: { 'params.weight': 'f32 [2, 2]', 'state.key': 'u32 [2]' },
  });
});

it('copies files into it, under their own names', async () => {
  const [given, missing] = [join(directory, 'tokenizer.json'), join(directory, 'none.json')];
  await writeFile(given, '{"a": 1}');
  const path = await saveCheckpoint(join(directory, 'run'), 'step-1', at(1), { files: [given] });
  expect(await readFile(join(path, 'tokenizer.json'), 'utf8')).toBe('{"a": 1}');
  // Once more over itself: the file of the checkpoint that is replaced.
  await saveCheckpoint(join(directory, 'run'), 'step-1', at(2), { files: [join(path, 'tokenizer.json')] });
  expect(await readFile(join(path, 'tokenizer.json'), 'utf8')).toBe('{"a": 1}');
  await expect(saveCheckpoint(join(directory, 'run'), 'step-2', at(3), { files: [missing] })).rejects.toThrow(
    /step-2 failed: .*none\.json/,
  );
  expect((await loadCheckpoint(join(directory, 'run'))).info.step).toBe(2);
});

it('deletes none unless it is told to', async () => {
  for (const step of [1, 2, 3, 4]) await saveCheckpoint(directory, `step-${step}`, at(step));
  expect((await readdir(directory)).sort()).toEqual(['latest', 'step-1', 'step-2', 'step-3', 'step-4']);
  await expect(saveCheckpoint(directory, 'step-5', at(5), { keep: 0 })).rejects.toThrow(
    'keep must be 1 or more, got 0',
  );
});

it('keeps the last ones, and replaces one of the same name', async () => {
  for (const step of [1, 2, 3, 4]) await saveCheckpoint(directory, `step-${step}`, at(step), { keep: 3 });
  expect((await readdir(directory)).sort()).toEqual(['latest', 'step-2', 'step-3', 'step-4']);
  await saveCheckpoint(directory, 'step-3', at(33), { keep: 1 });
  expect((await readdir(directory)).sort()).toEqual(['latest', 'step-3']);
  expect((await loadCheckpoint(directory)).info.step).toBe(33);
});

it('says what is wrong with a directory that is no checkpoint', async () => {
  await expect(loadCheckpoint(directory)).rejects.toThrow(`there is no checkpoint at ${directory}`);
  expect(await latestCheckpoint(directory)).toBeUndefined();
  await writeFile(join(directory, 'latest'), 'step-9\n');
  await expect(loadCheckpoint(directory)).rejects.toThrow('names "step-9", which is not there');
  await expect(saveCheckpoint(directory, '../x', at(1))).rejects.toThrow('the name "../x" needs letters');
});

it('finds a file cut short at any place, changed or missing', async () => {
  const path = await saveCheckpoint(directory, 'whole', at(7));
  for (const file of ['tensors.safetensors', 'checkpoint.json']) {
    const bytes = await readFile(join(path, file));
    // The last byte of the json is its line feed, which nothing needs.
    const lengths = Array.from({ length: bytes.length - 1 }, (_, i) => i).filter(
      (i) => i % 7 === 0 || i > bytes.length - 9,
    );
    for (const length of lengths) {
      const copy = join(directory, 'copy');
      await cp(path, copy, { recursive: true });
      await truncate(join(copy, file), length);
      await expect(loadCheckpoint(copy)).rejects.toThrow(join(copy, file));
    }
  }
  const foreign = join(await saveCheckpoint(directory, 'foreign', at(8)), 'tensors.safetensors');
  await cp(foreign, join(path, 'tensors.safetensors'));
  await expect(loadCheckpoint(path)).rejects.toThrow('some bytes were changed');
  await rm(join(path, 'tensors.safetensors'));
  await expect(loadCheckpoint(path)).rejects.toThrow('tensors.safetensors is missing');
  await writeFile(join(path, 'checkpoint.json'), '{"format": "other"}');
  await expect(loadCheckpoint(path)).rejects.toThrow(
    'is not a "clip-in checkpoint" of version 1, but "other"',
  );
});

it('a full disk leaves the previous checkpoint whole, says so, and leaves no litter', async () => {
  await saveCheckpoint(directory, 'step-1', at(1));
  let writes = 0;
  fault.before = (operation) => {
    if (operation === 'write' && ++writes > 2)
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  };
  await expect(saveCheckpoint(directory, 'step-2', at(2))).rejects.toThrow(
    `saving the checkpoint ${join(directory, 'step-2')} failed: ENOSPC: no space left on device`,
  );
  expect((await readdir(directory)).sort()).toEqual(['latest', 'step-1']);
  expect((await loadCheckpoint(directory)).info.step).toBe(1);
});

it.each(['step-2', 'step-1'])(
  'a process that dies before any of its calls to the disk leaves a whole checkpoint (saving %s)',
  async (name) => {
    let calls = 0;
    fault.before = () => void calls++;
    const rehearsal = join(directory, 'rehearsal');
    await saveCheckpoint(rehearsal, 'step-1', at(1));
    calls = 0;
    await saveCheckpoint(rehearsal, name, at(2));
    const total = calls;
    expect(total).toBeGreaterThan(10);
    const seen = new Set<number>();
    for (let last = 0; last <= total; last++) {
      const place = join(directory, `dies-${last}`);
      fault.before = () => undefined;
      await saveCheckpoint(place, 'step-1', at(1));
      let left = last;
      fault.before = () => {
        if (left-- <= 0) throw new Error('killed');
      };
      await saveCheckpoint(place, name, at(2)).catch(() => undefined);
      fault.before = () => undefined;
      const { tensors, info } = await loadCheckpoint(place);
      expect(tensors).toEqual(at(info.step).tensors);
      seen.add(info.step);
      // The next run goes on in the same directory, over whatever was left.
      await saveCheckpoint(place, name, at(5), { keep: 1 });
      expect((await loadCheckpoint(place)).info.step).toBe(5);
      expect(
        (await readdir(place)).filter(
          (entry) => entry !== 'latest' && entry !== name && !entry.startsWith('.'),
        ),
      ).toEqual([]);
    }
    expect([...seen]).toEqual([1, 2]);
  },
);

it('a process killed with SIGKILL while it saves leaves a whole checkpoint', async () => {
  await mkdir(join(directory, '.saving-old-0'));
  for (let round = 0; round < 3; round++) {
    const child = saveForever(directory);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 30 + 41 * round));
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    const { tensors, info } = await loadCheckpoint(directory);
    expect(info.step).toBeGreaterThan(0);
    const { data } = tensors.weight!;
    expect([data.length, ...new Set(data)]).toEqual([200_000, info.step]);
  }
  expect((await readdir(directory)).filter((entry) => entry.includes('-old-'))).toEqual([]);
});

function saveForever(into: string): ChildProcess {
  const program = `
    import { saveCheckpoint } from ${JSON.stringify(fileURLToPath(new URL('./checkpoint.ts', import.meta.url)))};
    for (let step = 1; ; step++) {
      const weight = { dtype: 'f32', shape: [200_000], data: new Float32Array(200_000).fill(step) };
      await saveCheckpoint(${JSON.stringify(into)}, 'step-' + (step % 5), { tensors: { weight }, info: { step, config: null, metrics: null } });
      console.log(step);
    }`;
  return spawn(
    process.execPath,
    ['--conditions=clipin-source', '--import', 'tsx', '--input-type=module', '-e', program],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
}
