import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Art, loadArt } from '../art/art';
import { type Hand, TRAINING_HANDS } from '../art/hands';
import { CLIP_MEAN, CLIP_STD, createRenderer } from '../scenes/render';
import { clipTokenizer } from '../text/clip-tokenizer';
import { loadTokenizer } from '../text/load-tokenizer';
import { restrict } from '../text/restrict';
import { vocabularyTexts } from '../text/vocabulary';
import { editAt, handsForScenes, tripletAt } from '../world';
import { type Batch, type BatchOptions, createBatches } from './batches';
import { prefetch } from './prefetch';

/** A hash of every byte of a batch: comparing arrays of pixels element by element is slow. */
function digest({ triplets, edits }: Batch): string {
  const hash = createHash('sha256');
  for (const [name, array] of [...Object.entries(triplets), ...Object.entries(edits)]) {
    hash
      .update(`${name} ${array.length}`)
      .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return hash.digest('hex');
}

const full = clipTokenizer();
const tokenizer = restrict(full, vocabularyTexts());
let art: Art;
let options: BatchOptions;
beforeAll(() => {
  art = loadArt(TRAINING_HANDS);
  options = { art, tokenizer, seed: 3, split: 'train', triplets: 6, edits: 4 };
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('batches', () => {
  test('have the promised shapes', () => {
    const { triplets, edits } = createBatches({ ...options, canvas: 32, shortLength: 12, longLength: 40 }).at(
      0,
    );
    expect([triplets.images.length, triplets.short.length, triplets.long.length]).toEqual([
      6 * 32 * 32 * 3,
      6 * 12,
      6 * 40,
    ]);
    expect([edits.sourceImages.length, edits.targetText.length]).toEqual([4 * 32 * 32 * 3, 4 * 12]);
  });

  test('depend on the step alone, whichever came before', () => {
    const batches = createBatches(options);
    const fifth = batches.at(5);
    batches.at(9);
    expect(digest(createBatches(options).at(5))).toBe(digest(fifth));
    expect(digest(batches.at(5))).toBe(digest(fifth));
    expect(digest(batches.at(6))).not.toBe(digest(fifth));
  });

  test('hold the numbered scenes and edits, one hand for both sides of an edit', () => {
    const { triplets, edits } = createBatches(options).at(2);
    const renderer = createRenderer(art);
    const drawnBy = (
      images: Float32Array,
      i: number,
      scene: Parameters<typeof renderer.render>[0],
      hands: Hand[],
    ) => {
      const picture = images.subarray(i * 6912, (i + 1) * 6912);
      return hands.filter((hand) => renderer.render(scene, hand).every((value, at) => value === picture[at]));
    };
    for (let i = 0; i < 6; i++) {
      const { scene } = tripletAt(3, 'train', 12 + i);
      expect(drawnBy(triplets.images, i, scene, handsForScenes([scene], TRAINING_HANDS))).toHaveLength(1);
    }
    for (let i = 0; i < 4; i++) {
      const { source, target } = editAt(3, 'train', 8 + i);
      const hands = handsForScenes([source, target], TRAINING_HANDS);
      const by = drawnBy(edits.sourceImages, i, source, hands);
      expect(by).toHaveLength(1);
      expect(drawnBy(edits.targetImages, i, target, hands)).toEqual(by);
    }
  });

  test('every training hand draws', () => {
    const batches = createBatches({ ...options, triplets: 64, edits: 0 });
    const { images } = batches.tripletBatch(0);
    const renderer = createRenderer(art);
    const seen = new Set<string>();
    for (let i = 0; i < 64; i++) {
      const { scene } = tripletAt(3, 'train', i);
      for (const hand of handsForScenes([scene], TRAINING_HANDS)) {
        if (renderer.render(scene, hand).every((value, at) => value === images[i * 6912 + at]))
          seen.add(hand);
      }
    }
    expect([...seen].sort()).toEqual([...TRAINING_HANDS].sort());
  });

  test('pictures are normalised as asked', () => {
    const clip = createBatches(options).at(1);
    const given = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } as const;
    const siglip = createBatches({ ...options, normalization: given }).at(1);
    const pairs = [
      [clip.triplets.images, siglip.triplets.images],
      [clip.edits.sourceImages, siglip.edits.sourceImages],
      [clip.edits.targetImages, siglip.edits.targetImages],
    ] as const;
    for (const [ours, theirs] of pairs) {
      const apart = theirs.map((x, i) => (x + 1) / 2 - (ours[i]! * CLIP_STD[i % 3]! + CLIP_MEAN[i % 3]!));
      expect(Math.max(...apart.subarray(0, 7000).map(Math.abs))).toBeLessThan(1e-5);
    }
  });

  test('bad options are refused by name', () => {
    expect(() => createBatches({ ...options, triplets: -1 })).toThrow(
      /triplets must be a whole number from 0 up, got -1/,
    );
    expect(() => createBatches({ ...options, hands: ['noto'] })).toThrow(
      /the art has no "noto"; it was loaded for openmoji/,
    );
    expect(() => createBatches(options).at(-3)).toThrow(/step must be a whole number from 0 up, got -3/);
  });
});

describe('prefetch', () => {
  test('gives the synchronous batches in order, from any step', async () => {
    const pieces = await loadTokenizer(join(import.meta.dirname, '../../reference/tokenizers/siglip2'));
    for (const tokens of [tokenizer, full, pieces]) {
      const batches = createBatches({ ...options, tokenizer: tokens });
      let step = 4;
      for await (const batch of prefetch(batches, { depth: 2, from: 4, to: 9 }))
        expect(digest(batch)).toBe(digest(batches.at(step++)));
      expect(step).toBe(9);
    }
  });

  test('an error in the worker reaches the caller', async () => {
    const batches = createBatches(options);
    const broken = { ...batches, options: { ...batches.options, hands: ['noto' as Hand] } };
    await expect(prefetch(broken).next()).rejects.toThrow(/the art has no "noto"/);
  });

  test('leaving the loop ends the worker', async () => {
    const { Worker } = await import('node:worker_threads');
    const terminate = vi.spyOn(Worker.prototype, 'terminate');
    for await (const batch of prefetch(createBatches(options), { depth: 1 })) {
      expect(batch.triplets.short.length).toBe(6 * 28);
      break;
    }
    expect(terminate).toHaveBeenCalledTimes(1);
    await expect(terminate.mock.results[0]!.value).resolves.toBeTypeOf('number');
  });

  test('a tokenizer that the worker cannot rebuild is refused', async () => {
    const own = { size: 10, pad: 0, start: 8, end: 9, encode: () => [8, 9] };
    await expect(prefetch(createBatches({ ...options, tokenizer: own })).next()).rejects.toThrow(
      /not a tokenizer of 10 ids/,
    );
  });

  test('a depth that is none is refused', async () => {
    await expect(prefetch(createBatches(options), { depth: 0 }).next()).rejects.toThrow(
      /depth must be a whole number from 1 up, got 0/,
    );
  });
});
