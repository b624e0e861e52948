/** Pictures for tests: a few pixels that a number determines, scenes of emoji, and an embedder that counts. */
import { createHash } from 'node:crypto';
import { createRenderer, ImageError, type ImageSource, loadArt, type Scene } from '@clipin/data';
import { encode } from 'fast-png';
import type { Embedder } from '../evaluation/embedder';
import type { IndexModel } from './picture-index';

/** A PNG of four by three pixels. */
export function tinyPicture(seed: number): Uint8Array {
  const data = Uint8Array.from({ length: 36 }, (_, i) => (seed * 31 + i * (7 + (seed % 11))) % 256);
  // The number itself, so that no two are alike.
  new DataView(data.buffer).setUint32(0, seed);
  return encode({ width: 4, height: 3, data, channels: 3, depth: 8 });
}

/** Draws scenes as PNG files. */
export function sceneDrawer(canvas: number): (scene: Scene) => Uint8Array {
  const renderer = createRenderer(loadArt(['noto']), { canvas, scale: 'unit' });
  return (scene) => {
    const data = Uint8Array.from(renderer.render(scene, 'noto'), (value) =>
      Math.round(Math.min(1, Math.max(0, value)) * 255),
    );
    return encode({ width: canvas, height: canvas, data, channels: 3, depth: 8 });
  };
}

/** A model that there is not. */
export const noModel: IndexModel = {
  source: 'nowhere',
  name: 'none',
  fingerprint: 'abcdef0123456789',
  width: 8,
};

/** Unit vectors that are a function of the bytes. Bytes that begin with `broken` are no picture. */
export function countingEmbedder(): Pick<Embedder, 'images' | 'texts'> & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    async *images(sources) {
      for await (const source of sources) {
        const { name, bytes } = source as { name: string; bytes: Uint8Array };
        if (Buffer.from(bytes).toString('latin1').startsWith('broken')) {
          yield { source, error: new ImageError(name, 'not a picture') };
          continue;
        }
        seen.push(name);
        yield { source, embedding: vectorOf(bytes) };
      }
    },
    texts: async (texts) => {
      const rows = texts.map((text) => vectorOf(Buffer.from(text)));
      return Float32Array.from(rows.flatMap((row) => [...row]));
    },
  };
}

/** What {@link countingEmbedder} makes of bytes. */
export function vectorOf(bytes: Uint8Array): Float32Array {
  const hash = createHash('sha256').update(bytes).digest();
  const values = Array.from({ length: noModel.width }, (_, i) => hash[i]! - 127.5);
  const length = Math.hypot(...values);
  return Float32Array.from(values, (value) => value / length);
}

/** The name of a source. */
export const nameOfSource = (source: ImageSource): string =>
  typeof source === 'string' ? source : 'name' in source ? source.name : nameOfSource(source.source);
