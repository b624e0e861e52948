import { basename } from 'node:path';
import { collect, writeFiles } from '@clipin/testing';
import { packTar } from 'modern-tar';
import { describe, expect, it } from 'vitest';
import { captionedShards, coco, flickr30k } from './image-retrieval';
import { dci, dciLong, dciShort, shareGpt4v, urban } from './long-captions';
import { isSkipped, type RetrievalSuite } from './suite';

/** Captions by the name of the picture, and what was skipped. */
async function read(suite: RetrievalSuite, files: Readonly<Record<string, string | Uint8Array>>) {
  const items = await collect(suite.read(writeFiles(files)));
  return {
    captions: Object.fromEntries(
      items.flatMap((item) =>
        isSkipped(item)
          ? []
          : [
              [
                typeof item.image === 'string'
                  ? basename(item.image)
                  : 'name' in item.image
                    ? item.image.name
                    : '',
                item.captions,
              ],
            ],
      ),
    ),
    skipped: items.filter(isSkipped),
  };
}

const json = (value: unknown): string => JSON.stringify(value);

describe('COCO', () => {
  const images = [
    { id: 42, file_name: 'COCO_val2014_000000000042.jpg' },
    { id: 7, file_name: 'COCO_val2014_000000000007.jpg' },
    { id: 9, file_name: 'COCO_val2014_000000000009.jpg' },
    { id: 5, file_name: 'COCO_val2014_000000000005.jpg' },
  ];

  it('puts captions to their images, of which some have more than five, and one none', async () => {
    const annotations = [7, 42, 42, 7, 42, 42, 42, 42, 9].map((image_id, i) => ({
      image_id,
      id: i,
      caption: `caption ${i}`,
    }));
    const { captions, skipped } = await read(coco, {
      'coco_test_karpathy.json': `\uFEFF${json({ images, annotations: [...annotations, { image_id: 1, caption: 'whose?' }] })}`,
      'val2014/COCO_val2014_000000000042.jpg': '',
      'val2014/COCO_val2014_000000000007.jpg': '',
      'val2014/COCO_val2014_000000000005.jpg': '',
    });
    expect(captions).toEqual({
      'COCO_val2014_000000000042.jpg': [
        'caption 1',
        'caption 2',
        'caption 4',
        'caption 5',
        'caption 6',
        'caption 7',
      ],
      'COCO_val2014_000000000007.jpg': ['caption 0', 'caption 3'],
    });
    expect(skipped.map(({ skipped: item, reason }) => `${item}: ${reason.replace(/ in .*/, '')}`)).toEqual([
      'caption "whose?": the file has no image 1',
      'COCO_val2014_000000000009.jpg: no such picture',
      'COCO_val2014_000000000005.jpg: it has no caption',
    ]);
  });

  it('takes the test split of Karpathy’s own file', async () => {
    const image = (filename: string, split: string) => ({
      filepath: 'val2014',
      filename,
      cocoid: 1,
      split,
      sentences: [{ raw: `${filename}, one`, tokens: ['one'] }, { raw: `${filename}, two` }],
    });
    const { captions, skipped } = await read(coco, {
      'dataset_coco.json': json({
        images: [
          image('a.jpg', 'train'),
          image('b.jpg', 'test'),
          image('c.jpg', 'val'),
          image('d.jpg', 'restval'),
          { filename: 'e.jpg' },
        ],
        dataset: 'coco',
      }),
      'val2014/a.jpg': '',
      'val2014/b.jpg': '',
    });
    expect(captions).toEqual({ 'b.jpg': ['b.jpg, one', 'b.jpg, two'] });
    expect(skipped.map(({ skipped: item }) => item)).toEqual(['image 4 of dataset_coco.json']);
  });

  it('says what is missing', async () => {
    await expect(read(coco, { 'val2014/a.jpg': '' })).rejects.toThrow(
      /COCO, Karpathy test.*dataset_coco\.json/s,
    );
    await expect(
      read(coco, { 'coco_test_karpathy.json': '{"images": [', 'val2014/a.jpg': '' }),
    ).rejects.toThrow(/is no JSON/);
    await expect(read(coco, { 'coco_test_karpathy.json': '[]' })).rejects.toThrow(
      /the folder of images not found/,
    );
  });
});

describe('Flickr30k', () => {
  const lines = [
    'image,caption',
    '1007129816.jpg,The man with pierced ears is wearing glasses and an orange hat .',
    '1007129816.jpg,A man , a "beer can" hat, and more',
    '"1007129816.jpg,"',
    '36979.jpg,"A group of friends, playing cards"',
    '',
    '404.jpg,nobody sees this',
  ];
  const pictures = { 'flickr30k-images/1007129816.jpg': '', 'flickr30k-images/36979.jpg': '' };
  const expected = {
    '1007129816.jpg': [
      'The man with pierced ears is wearing glasses and an orange hat .',
      'A man , a "beer can" hat, and more',
    ],
    '36979.jpg': ['"A group of friends, playing cards"'],
  };

  it.each([
    ['line feeds', lines.join('\n')],
    ['CRLF and a byte order mark', `\uFEFF${lines.join('\r\n')}\r\n`],
  ])('drops the heading, and keeps commas and quotes of captions, with %s', async (_, text) => {
    const { captions, skipped } = await read(flickr30k, {
      'flickr30k_test_karpathy.txt': text.replace('"1007129816.jpg,"', 'a line that is none'),
      ...pictures,
    });
    expect(captions).toEqual(expected);
    expect(skipped.map(({ skipped: item }) => item)).toEqual(['"a line that is none"', '404.jpg']);
  });

  it('keeps the first line where there is no heading', async () => {
    const { captions } = await read(flickr30k, { 'flickr30k_test_karpathy.txt': lines[1]!, ...pictures });
    expect(captions).toEqual({ '1007129816.jpg': [expected['1007129816.jpg'][0]] });
  });

  it('takes the test split of Karpathy’s own file', async () => {
    const { captions } = await read(flickr30k, {
      'dataset_flickr30k.json': json({
        images: [
          { filename: '36979.jpg', split: 'test', sentences: [{ raw: 'cards' }] },
          { filename: '1007129816.jpg', split: 'val', sentences: [{ raw: 'hat' }] },
        ],
      }),
      ...pictures,
    });
    expect(captions).toEqual({ '36979.jpg': ['cards'] });
  });
});

it('captioned shards have a caption a line', async () => {
  const files = {
    's0.jpg': 'x',
    's0.txt': 'one\r\n\r\ntwo, three\n',
    's1.jpg': 'x',
    's1.txt': '\n',
    's2.txt': 'no picture',
  };
  const entries = Object.entries(files).map(([name, body]) => ({
    header: { name, size: body.length, type: 'file' as const },
    body,
  }));
  const { captions, skipped } = await read(captionedShards, {
    'test/nshards.txt': '1',
    'test/0.tar': await packTar(entries),
  });
  expect(captions).toEqual({ 'test/0.tar: s0': ['one', 'two, three'] });
  expect(skipped.map(({ reason }) => reason)).toEqual(['it has no caption', 'it has no picture']);
});

describe('ShareGPT4V-1k', () => {
  const item = (i: number) => ({
    id: String(i),
    image: `sam/images/sa_${i}.jpg`,
    conversations: [
      { from: 'human', value: '<image>\nDescribe.' },
      { from: 'gpt', value: `Long caption ${i},\nwith a line\n\nbreak.` },
    ],
  });
  const name = 'share-captioner_coco_lcs_sam_1246k_1107.json';

  it('takes the first thousand, and does not read the rest', async () => {
    const list = json(Array.from({ length: 1005 }, (_, i) => item(i)));
    const pictures = Object.fromEntries(
      Array.from({ length: 1005 }, (_, i) => [`data/sam/images/sa_${i}.jpg`, '']),
    );
    // The end of the list is not even JSON.
    const { captions, skipped } = await read(shareGpt4v, {
      [name]: `${list.slice(0, -2)} and so on`,
      ...pictures,
    });
    expect(Object.keys(captions)).toHaveLength(1000);
    expect(captions['sa_999.jpg']).toEqual(['Long caption 999, with a line  break.']);
    expect(skipped).toEqual([]);
  });

  it('skips what is damaged or not there', async () => {
    const broken = [
      item(0),
      { ...item(1), conversations: [{ value: 'only the question' }] },
      item(2),
      'what',
    ];
    const { captions, skipped } = await read(shareGpt4v, {
      [name]: json(broken),
      'data/sam/images/sa_0.jpg': '',
    });
    expect(Object.keys(captions)).toEqual(['sa_0.jpg']);
    expect(skipped.map(({ skipped: one }) => one)).toEqual(['item 1', 'item 2', 'item 3']);
  });

  it('is refused where the list is cut short, or none', async () => {
    const pictures = { 'data/a.jpg': '' };
    await expect(read(shareGpt4v, { [name]: json([item(0)]).slice(0, -5), ...pictures })).rejects.toThrow(
      /ends too early/,
    );
    await expect(read(shareGpt4v, { [name]: json({ a: item(0) }), ...pictures })).rejects.toThrow(
      /it is no list/,
    );
  });
});

it('Urban-1k pairs numbers, with gaps, and takes the first line', async () => {
  const { captions, skipped } = await read(urban, {
    'image/1.jpg': '',
    'image/10.png': '',
    'image/3.jpg': '',
    'image/4.jpg': '',
    'caption/1.txt': 'first line\nsecond line',
    'caption/10.txt': '\uFEFFten\r\n',
    'caption/2.txt': 'no picture',
    'caption/4.txt': '\n',
  });
  expect(captions).toEqual({ '1.jpg': ['first line'], '10.png': ['ten'] });
  expect(skipped.map(({ skipped: item }) => item).sort()).toEqual(['2', '3.jpg', '4.txt']);
});

describe('DCI', () => {
  const files = {
    'annotations/1.json': json({
      image: 'sa_1.jpg',
      short_caption: 'short',
      extra_caption: 'long\nand longer',
      mask_data: {},
    }),
    'annotations/2.json': json({ image: 'sa_2.jpg', short_caption: 'also short', extra_caption: '' }),
    'annotations/10.json': json({ image: 'sa_10.jpg', short_caption: 'lost', extra_caption: 'lost' }),
    'annotations/11.json': '{"image": ',
    'annotations/12.json': json({ image: 'sa_1.jpg' }),
    'photos/sa_1.jpg': '',
    'photos/sa_2.jpg': '',
  };

  it('counts empty long captions in one way, leaves them out in the other, and has short ones', async () => {
    expect((await read(dci, files)).captions).toEqual({ 'sa_1.jpg': ['long and longer'], 'sa_2.jpg': [''] });
    expect((await read(dciLong, files)).captions).toEqual({ 'sa_1.jpg': ['long and longer'] });
    expect((await read(dciShort, files)).captions).toEqual({
      'sa_1.jpg': ['short'],
      'sa_2.jpg': ['also short'],
    });
    expect((await read(dci, files)).skipped.map(({ skipped: item }) => item)).toEqual([
      '10.json',
      '11.json',
      '12.json',
    ]);
  });

  it('is squashed to the size of the model', () => {
    expect([dci, dciLong, dciShort].map(({ prepare }) => prepare?.resize)).toEqual([
      'squash',
      'squash',
      'squash',
    ]);
  });
});
