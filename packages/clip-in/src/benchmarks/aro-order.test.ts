import { join } from 'node:path';
import { collect, writeFiles } from '@clipin/testing';
import { describe, expect, it } from 'vitest';
import { cocoOrder, flickr30kOrder } from './aro-order';
import { type Answer, isSkipped, type QuestionSuite } from './suite';

async function read(suite: QuestionSuite, directory: string) {
  const items = await collect(suite.read(directory));
  return {
    questions: items.flatMap((one) => (isSkipped(one) ? [] : [one])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('shuffles the captions of the test split', async () => {
    const image = 'val2014/COCO_val2014_000000391895.jpg';
    const captions = ['A man with a red helmet on a small moped.', 'Man.'];
    const directory = writeFiles({
      'coco_karpathy_test.json': JSON.stringify([
        { image, caption: captions },
        { image: 'val2014/none.jpg', caption: ['a'] },
        { image },
      ]),
      [image]: '',
    });
    const { questions, skipped } = await read(cocoOrder, directory);
    expect(questions[0]).toMatchObject({ id: 'image 0, caption 0', images: [join(directory, image)] });
    expect(questions[0]!.texts[0]).toBe('a man with a red helmet on a small moped');
    expect(questions[0]!.texts).toHaveLength(5);
    // Nothing to exchange: no rivals, since each of them would be the caption.
    expect(questions[1]!.texts).toEqual(['man']);
    expect(skipped).toEqual([
      { skipped: 'image 1, caption 0', reason: `no image val2014/none.jpg in ${directory}` },
      { skipped: 'image 2', reason: expect.stringContaining('caption') },
    ]);
    expect(await read(cocoOrder, directory)).toEqual({ questions, skipped });
  });

  it('prefers shuffles that are given', async () => {
    const image = 'flickr30k-images/1007129816.jpg';
    const caption_options = [
      'the man, he wears a hat',
      'the hat, he wears a man',
      'the man , he wears a hat',
      'man',
    ];
    const directory = writeFiles({
      'flickr30k_test.json': '[]',
      'flickr30k_order.json': JSON.stringify([{ image, caption_options }]),
      [image]: '',
    });
    const { questions } = await read(flickr30kOrder, directory);
    expect(questions).toEqual([
      {
        id: 'caption 0',
        images: [join(directory, image)],
        texts: ['the man, he wears a hat', 'the hat, he wears a man', 'man'],
      },
    ]);
  });

  it('says what is missing', async () => {
    await expect(read(cocoOrder, writeFiles({ 'captions_val2014.json': '' }))).rejects.toThrow(
      /^COCO-Order: the captions not found in .*looked for coco_karpathy_test\.json, .*Expected: coco_karpathy_test\.json \(a list/,
    );
  });
});

const answer = (scores: readonly number[], group?: string): Answer => ({
  question: { id: '', images: [''], texts: scores.map(() => ''), ...(group !== undefined && { group }) },
  scores: Float32Array.from(scores),
});

describe('scoring', () => {
  it('counts captions that are above all their shuffles', () => {
    // Right: 1 and 4 (which has no rival) of 5: 40.
    const answers = [
      answer([0.5, 0.1, 0.2, 0.3, 0.4]),
      answer([0.5, 0.1, 0.2, 0.3, 0.6]),
      answer([0.5, 0.5, 0.5, 0.5, 0.5]),
      answer([0.5]),
      answer([NaN, 0.1, 0.2, 0.3, 0.4]),
    ];
    const { main, rows, notes } = cocoOrder.score(answers);
    expect(main).toBe(40);
    expect(rows).toEqual([{ name: 'captions chosen', value: 40, count: 5 }]);
    expect(notes).toBeUndefined();
    expect(cocoOrder.score([answer([0.2, 0.1], 'shuffled here')]).notes).toEqual([
      expect.stringContaining('shuffled by this package'),
    ]);
  });
});
