/** Models from a hub that a local server plays, with connections that are cut, damaged files, and no hub at all. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { init } from '@clipin/tensor';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { isHubId } from './hub';
import { loadPretrained } from './load-pretrained';

const ID = 'somebody/small-clip';
const SHA = 'a'.repeat(40);
const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

/** A hub with one model, and what it does wrong. */
class Hub {
  readonly files = new Map<string, Buffer>();
  readonly requests: string[] = [];
  readonly ranges: string[] = [];
  /** Cuts the connection after so many bytes of weights. */
  cutAfter: number | undefined;
  /** Says this digest of the weights. */
  digest: string | undefined;
  /** Status of the answer to whatever is asked. */
  status: number | undefined;
  private server: Server | undefined;

  async start(folder: string): Promise<string> {
    for (const name of await readdir(folder)) this.files.set(name, await readFile(join(folder, name)));
    this.files.set('README.md', Buffer.from('not needed'));
    this.files.set('flax_model.msgpack', Buffer.from('not needed'));
    this.server = createServer((request, response) => void this.answer(request, response));
    await new Promise<void>((resolve) => this.server!.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url!, 'http://hub');
    this.requests.push(`${request.method} ${pathname}`);
    const json = (value: unknown) =>
      response
        .writeHead(this.status ?? 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(value));
    if (this.status !== undefined) return void json({ error: 'the hub says no' });
    if (pathname === `/api/models/${ID}/revision/main`) return void json({ id: ID, _id: 'x', sha: SHA });
    if (pathname === `/api/models/${ID}/tree/${SHA}`)
      return void json([...this.files.keys()].map((path) => this.entry(path)));
    if (pathname === `/api/models/${ID}/paths-info/${SHA}`) {
      let body = '';
      for await (const chunk of request) body += chunk;
      const { paths } = JSON.parse(body) as { paths: string[] };
      return void json(paths.map((path) => this.entry(path)));
    }
    const name = pathname.split('/').at(-1)!;
    const bytes = this.files.get(name);
    if (pathname !== `/${ID}/resolve/${SHA}/${name}` || !bytes) {
      return void response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
    }
    this.sendFile(name, bytes, request, response);
  }

  private sendFile(name: string, bytes: Buffer, request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const [from, to] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, bytes.length];
    const probe = to - from === 1;
    if (!probe) this.ranges.push(`${name} ${from}`);
    response.writeHead(range ? 206 : 200, {
      etag: `"${this.entry(name).oid}"`,
      'content-length': to - from,
      ...(range && { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` }),
    });
    const cut = this.cutAfter !== undefined && !probe && name.endsWith('.safetensors');
    const end = cut ? Math.min(to, from + this.cutAfter!) : to;
    response.write(bytes.subarray(from, end), () => {
      // What was written so far is sent before the connection ends.
      if (end === to) response.end();
      else setTimeout(() => response.destroy(), 20);
    });
  }

  /** Weights are kept as large files, with their SHA-256; others with git's digest. */
  private entry(path: string) {
    const bytes = this.files.get(path)!;
    const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
    const large = {
      oid: this.digest ?? createHash('sha256').update(bytes).digest('hex'),
      size: bytes.length,
      pointerSize: 130,
    };
    const lastCommit = { id: SHA, title: '', date: '2026-01-01T00:00:00Z' };
    return {
      type: 'file',
      path,
      oid,
      size: bytes.length,
      lastCommit,
      ...(/safetensors$/.test(path) && { lfs: large }),
    };
  }
}

let hub: Hub;
let hubUrl: string;
let cache: string;
beforeAll(async () => {
  await init({ device: 'wasm', threads: 1 });
  vi.spyOn(console, 'debug').mockImplementation(() => undefined);
});
beforeEach(async () => {
  hub = new Hub();
  hubUrl = await hub.start(fixture('hugging-face-f16-sharded'));
  cache = await mkdtemp(join(tmpdir(), 'hub-cache-'));
});
afterEach(async () => {
  await hub.stop();
  await rm(cache, { recursive: true });
});

const load = () => loadPretrained(ID, { hubUrl, cache });
const model = () => join(cache, 'models--somebody--small-clip');

describe('a model from the hub', () => {
  it('is the same as from its folder, and lies in the standard cache', async () => {
    const loaded = await load();
    const local = await loadPretrained(fixture('hugging-face-f16-sharded'));
    expect(loaded.fingerprint).toBe(local.fingerprint);
    expect(loaded.name).toBe(ID);
    expect(await readFile(join(model(), 'refs', 'main'), 'utf8')).toBe(SHA);
    expect((await readdir(join(model(), 'snapshots', SHA))).sort()).toEqual([
      'config.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ]);
    expect(await readdir(join(model(), 'blobs'))).toHaveLength(4);
  });

  it('is fetched once', async () => {
    await load();
    hub.ranges.length = 0;
    await load();
    expect(hub.ranges).toEqual([]);
  });

  it('goes on where the connection was cut, and is verified', async () => {
    hub.cutAfter = 5000;
    await expect(load()).rejects.toThrow(/cannot be reached .* the next call goes on from there/);
    const [left] = (await readdir(join(model(), 'blobs'))).filter((name) => name.endsWith('.incomplete'));
    const begun = (await stat(join(model(), 'blobs', left!))).size;
    expect(begun).toBeGreaterThan(0);
    expect(begun).toBeLessThan(hub.files.get('model-00001-of-00002.safetensors')!.length);
    await expect(readdir(join(model(), 'refs'))).rejects.toThrow();
    hub.cutAfter = undefined;
    hub.ranges.length = 0;
    const loaded = await load();
    expect(hub.ranges).toContain(`model-00001-of-00002.safetensors ${begun}`);
    expect(loaded.fingerprint).toBe((await loadPretrained(fixture('hugging-face-f16-sharded'))).fingerprint);
    expect((await readdir(join(model(), 'blobs'))).filter((name) => name.endsWith('.incomplete'))).toEqual(
      [],
    );
  });

  it('is fetched anew where the beginning is of another file', async () => {
    hub.cutAfter = 5000;
    await expect(load()).rejects.toThrow(/cannot be reached/);
    hub.cutAfter = undefined;
    const [left] = (await readdir(join(model(), 'blobs'))).filter((name) => name.endsWith('.incomplete'));
    const path = join(model(), 'blobs', left!);
    await writeFile(path, Buffer.alloc((await stat(path)).size, 7));
    const { fingerprint } = await loadPretrained(fixture('hugging-face-f16-sharded'));
    expect((await load()).fingerprint).toBe(fingerprint);
  });

  it('is refused with a wrong digest, and nothing wrong stays in the cache', async () => {
    hub.digest = 'b'.repeat(64);
    await expect(load()).rejects.toThrow(
      /model-00001-of-00002.safetensors of somebody\/small-clip came damaged .* SHA-256 is [0-9a-f]{64}, not b{64}/,
    );
    const kept = await readdir(join(model(), 'blobs'));
    expect(kept).toHaveLength(2); // config.json and the index, which are right
    expect(kept.some((name) => name.startsWith('b'))).toBe(false);
    expect(await readdir(join(model(), 'snapshots', SHA))).not.toContain('model-00001-of-00002.safetensors');
  });
});

describe('without a hub', () => {
  it('what the cache has is used', async () => {
    const { fingerprint } = await load();
    await hub.stop();
    expect((await load()).fingerprint).toBe(fingerprint);
    hub = new Hub();
    await hub.start(fixture('hugging-face-f16-sharded'));
  });

  it('the error says which files to put where', async () => {
    const error = await loadPretrained(ID, { hubUrl: 'http://127.0.0.1:9', cache }).catch(
      (e: Error) => e.message,
    );
    expect(error).toContain(`not in the cache ${cache}, and http://127.0.0.1:9 cannot be reached`);
    expect(error).toContain('config.json, model.safetensors');
    expect(error).toContain('open_clip_config.json');
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expect(load()).rejects.toThrow('HF_HUB_OFFLINE is 1');
    vi.unstubAllEnvs();
    expect(hub.requests).toEqual([]);
  });

  it.each([
    [404, 'there is no such file, folder, or model on the hub'],
    [401, 'give a token in HF_TOKEN'],
    [500, 'cannot be reached'],
  ])('an answer of %s is said', async (status, message) => {
    hub.status = status;
    await expect(load()).rejects.toThrow(message);
  });
});

it('ids of the hub are told from paths', () => {
  expect(['openai/clip-vit-base-patch32', 'laion/CLIP-ViT-B-32-laion2B-s34B-b79K'].every(isHubId)).toBe(true);
  expect(['./models/x', 'a/b/c', 'model', '/x/y', '../y', 'x/'].some(isHubId)).toBe(false);
});
