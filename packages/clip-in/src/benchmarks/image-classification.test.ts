import { relative } from 'node:path';
import { collect, writeFiles } from '@clipin/testing';
import { packTar } from 'modern-tar';
import { describe, expect, it } from 'vitest';
import { classificationSuites } from './image-classification';
import {
  IMAGENET_A_CLASSES,
  IMAGENET_CLASSES,
  IMAGENET_R_CLASSES,
  IMAGENET_SYNSETS,
  IMAGENET_TEMPLATES,
} from './imagenet-names';
import { type ClassificationSuite, isSkipped } from './suite';

const suiteOf = (name: string): ClassificationSuite =>
  classificationSuites.find((suite) => suite.name === name)!;

/** Pictures by the name of their class, as `path below the directory: name`. */
async function read(name: string, directory: string) {
  const { classes, templates, images } = await suiteOf(name).read(directory);
  const items = await collect(images);
  const labelled = items.flatMap((item) => (isSkipped(item) ? [] : [item]));
  return {
    classes,
    templates,
    labels: labelled.map(({ label }) => label),
    skipped: items.filter(isSkipped),
    named: Object.fromEntries(
      labelled.map(({ image, label }) => [
        typeof image === 'string' ? relative(directory, image) : 'name' in image ? image.name : '',
        classes[label],
      ]),
    ),
  };
}

const tar = (files: Readonly<Record<string, string>>): Promise<Uint8Array> =>
  packTar(
    Object.entries(files).map(([name, body]) => ({
      header: { name, size: Buffer.byteLength(body), type: 'file' as const },
      body,
    })),
  );

describe('the names of ImageNet', () => {
  it('are 1000 classes, 80 templates, and 200 classes each of A and R', () => {
    expect(new Set(IMAGENET_SYNSETS).size).toBe(1000);
    expect(IMAGENET_SYNSETS).toEqual([...IMAGENET_SYNSETS].sort());
    expect(IMAGENET_SYNSETS.every((synset) => /^n\d{8}$/.test(synset))).toBe(true);
    expect(IMAGENET_CLASSES).toHaveLength(1000);
    expect(IMAGENET_CLASSES.every((name) => name === name.trim() && name !== '' && !name.includes(','))).toBe(
      true,
    );
    const twice = IMAGENET_CLASSES.filter((name, i) => IMAGENET_CLASSES.indexOf(name) !== i);
    expect(twice).toEqual(['missile', 'sunglasses']);
    expect(new Set(IMAGENET_TEMPLATES).size).toBe(80);
    expect(IMAGENET_TEMPLATES.every((template) => template.split('{c}').length === 2)).toBe(true);
    for (const classes of [IMAGENET_A_CLASSES, IMAGENET_R_CLASSES]) {
      expect(new Set(classes).size).toBe(200);
      expect(classes).toEqual([...classes].sort((a, b) => a - b));
      expect(classes.at(-1)).toBeLessThan(1000);
    }
  });

  it('belong to the synsets as they should, here and there', () => {
    const pairs: [string, string][] = [
      ['n01440764', 'tench'],
      ['n02012849', 'crane bird'],
      ['n02123045', 'tabby cat'],
      ['n02504458', 'African bush elephant'],
      ['n03126707', 'construction crane'],
      ['n03710637', 'tights'],
      ['n03710721', 'one-piece bathing suit'],
      ['n04356056', 'sunglasses'],
      ['n07753592', 'banana'],
      ['n15075141', 'toilet paper'],
    ];
    for (const [synset, name] of pairs) expect(IMAGENET_CLASSES[IMAGENET_SYNSETS.indexOf(synset)]).toBe(name);
  });
});

describe('ImageNet', () => {
  it('has the class of the synset that a folder is called by', async () => {
    const directory = writeFiles({
      'val/n02123045/ILSVRC2012_val_00000001.JPEG': '',
      'val/n01440764/ILSVRC2012_val_00000293.JPEG': '',
      'val/n15075141/b.JPEG': '',
      'val/n15075141/a.JPEG': '',
      'val/n15075141/.DS_Store': '',
      'LOC_val_solution.csv': 'ImageId,PredictionString\n',
    });
    const { classes, templates, labels, named } = await read('imagenet', directory);
    expect([classes.length, templates.length]).toEqual([1000, 80]);
    expect(labels).toEqual([0, 281, 999, 999]);
    expect(named['val/n02123045/ILSVRC2012_val_00000001.JPEG']).toBe('tabby cat');
  });

  it('may have folders called by the names of classes', async () => {
    const directory = writeFiles({
      'tabby_cat/1.jpg': '',
      'Tench/1.jpg': '',
      'kite (bird of prey)/1.jpg': '',
    });
    expect((await read('imagenet', directory)).named).toEqual({
      'tabby_cat/1.jpg': 'tabby cat',
      'Tench/1.jpg': 'tench',
      'kite (bird of prey)/1.jpg': 'kite (bird of prey)',
    });
    // Two classes are called so: it could be either.
    const either = writeFiles({ 'missile/1.jpg': '', 'tench/1.jpg': '' });
    await expect(read('imagenet', either)).rejects.toThrow('"missile" is no class of ImageNet-1k');
  });

  it('reads the numbers of V2 as numbers, where their order among names would be another', async () => {
    const numbers = [0, 1, 2, 10, 100, 281, 999];
    const directory = writeFiles(
      Object.fromEntries(numbers.map((n) => [`imagenetv2-matched-frequency-format-val/${n}/${n}.jpeg`, ''])),
    );
    const { labels, named } = await read('imagenet-v2', directory);
    expect(labels).toEqual(numbers);
    expect(named['imagenetv2-matched-frequency-format-val/281/281.jpeg']).toBe('tabby cat');
  });

  it('has 200 classes in A and R, also where folders are missing', async () => {
    const directory = writeFiles({
      'n12267677/x.jpg': '',
      'n01498041/y.jpg': '',
      'README.txt': 'A and R both have these.',
    });
    for (const name of ['imagenet-a', 'imagenet-r']) {
      const { classes, named } = await read(name, directory);
      expect(classes).toHaveLength(200);
      expect(named).toEqual({ 'n12267677/x.jpg': 'acorn', 'n01498041/y.jpg': 'stingray' });
    }
  });

  it('does not take a folder for a class that it is not', async () => {
    const numbered = writeFiles({ '0/x.jpg': '', '1/y.jpg': '' });
    await expect(read('imagenet-r', numbered)).rejects.toThrow(/"0" is no class of ImageNet-R/);
    const tench = writeFiles({ 'n01440764/x.jpg': '', 'n01498041/y.jpg': '' });
    await expect(read('imagenet-a', tench)).rejects.toThrow(
      /"n01440764" is no class of ImageNet-A; expected imagenet-a\//,
    );
    await expect(read('imagenet-v2', writeFiles({ '0/x.jpg': '', '1000/y.jpg': '' }))).rejects.toThrow(
      '"1000" is no class',
    );
    await expect(read('imagenet', writeFiles({ 'val/ILSVRC2012_val_00000001.JPEG': '' }))).rejects.toThrow(
      /has no folders of classes; expected val\/<synset, such as n01440764>/,
    );
    await expect(read('imagenet', 'nowhere')).rejects.toThrow('nowhere: there is no such directory');
  });
});

describe('sets with classes of their own', () => {
  it('are called by their folders', async () => {
    const directory = writeFiles({
      'images/001.Black_footed_Albatross/a.jpg': '',
      'images/010.Red_winged_Blackbird/b.jpg': '',
      'images/002.Laysan_Albatross/c.jpg': '',
    });
    const { classes, templates } = await read('cub', directory);
    expect(classes).toEqual(['Black footed Albatross', 'Laysan Albatross', 'Red winged Blackbird']);
    expect(templates).toEqual(['a photo of a {c}, a type of bird.']);
  });

  it('find numbered folders by the order of the numbers, and named ones by name', async () => {
    const classnames = '\uFEFFpink primrose\r\nhard-leaved pocket orchid\r\ncanterbury bells\r\n';
    const numbered = writeFiles({
      'classnames.txt': classnames,
      'test/1/a.jpg': '',
      'test/2/b.jpg': '',
      'test/10/c.jpg': '',
    });
    expect((await read('flowers', numbered)).named).toEqual({
      'test/1/a.jpg': 'pink primrose',
      'test/2/b.jpg': 'hard-leaved pocket orchid',
      'test/10/c.jpg': 'canterbury bells',
    });
    const named = writeFiles({
      'classnames.txt': classnames,
      'Canterbury_Bells/a.jpg': '',
      'hard-leaved pocket orchid/b.jpg': '',
    });
    expect((await read('flowers', named)).labels).toEqual([2, 1]);
  });

  it('are refused where numbers or names do not fit', async () => {
    const gap = writeFiles({ 'classnames.txt': 'a\nb\nc\n', '1/a.jpg': '', '3/c.jpg': '' });
    await expect(read('flowers', gap)).rejects.toThrow('2 numbered folders, but 3 names');
    await expect(read('flowers', writeFiles({ '1/a.jpg': '', '2/c.jpg': '' }))).rejects.toThrow(
      /put the names into classnames\.txt/,
    );
    const other = writeFiles({ 'classnames.txt': 'a\nb\n', 'a/a.jpg': '', 'x/c.jpg': '' });
    await expect(read('pets', other)).rejects.toThrow(/"x" is not in .*classnames\.txt/);
    await expect(
      read(
        'pets',
        writeFiles({ 'a/a.jpg': '', 'b/c.jpg': '', 'zeroshot_classification_templates.txt': 'a photo' }),
      ),
    ).rejects.toThrow('"a photo" has no {c}');
  });
});

describe('shards', () => {
  const side = {
    'classnames.txt': 'Abyssinian\nBeagle\n',
    'zeroshot_classification_templates.txt': 'a photo of a {c}.\r\nthe {c}\r\n',
  };

  it('are read in the order of their numbers, with the side files', async () => {
    const directory = writeFiles({
      ...side,
      'test/nshards.txt': '11\n',
      ...Object.fromEntries(
        await Promise.all(
          Array.from({ length: 11 }, async (_, i) => [
            `test/${i}.tar`,
            await tar({ [`s${i}.cls`]: `${i % 2}`, [`s${i}.webp`]: `picture ${i}`, [`s${i}.json`]: '{}' }),
          ]),
        ),
      ),
    });
    const { classes, templates, labels, named } = await read('pets', directory);
    expect(classes).toEqual(['Abyssinian', 'Beagle']);
    expect(templates).toEqual(['a photo of a {c}.', 'the {c}']);
    expect(labels).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    expect(Object.keys(named)[10]).toBe('test/10.tar: s10');
  });

  it('tell of samples without picture or class', async () => {
    const content = await tar({
      's0.jpg': 'x',
      's1.cls': '1',
      's2.jpg': 'x',
      's2.cls': 'Beagle',
      's3.png': 'x',
      's3.cls': '1\n',
    });
    const { labels, skipped } = await read(
      'pets',
      writeFiles({ ...side, 'test/nshards.txt': '1', 'test/0.tar': content }),
    );
    expect(labels).toEqual([1]);
    expect(skipped).toEqual([
      { skipped: 'test/0.tar: s0', reason: 'it has no .cls' },
      { skipped: 'test/0.tar: s1', reason: 'it has no picture' },
      { skipped: 'test/0.tar: s2', reason: 'its .cls is "Beagle", not the number of a class' },
    ]);
  });

  it('are refused where one is missing or cut short, or a class has no name', async () => {
    const content = await tar({ 's0.jpg': 'x'.repeat(5000), 's0.cls': '2' });
    const shards = (files: Record<string, string | Uint8Array>) =>
      read('pets', writeFiles({ ...side, ...files }));
    await expect(shards({ 'test/nshards.txt': '3', 'test/0.tar': content })).rejects.toThrow(
      /3 shards, but 2 are missing: .*1\.tar/,
    );
    await expect(shards({ 'test/0.tar': content })).rejects.toThrow('nshards.txt is missing');
    await expect(shards({ 'test/nshards.txt': 'many', 'test/0.tar': content })).rejects.toThrow(
      'but has "many"',
    );
    for (const length of [700, 3000, content.length - 1024 - 600]) {
      const cut = content.subarray(0, length);
      await expect(shards({ 'test/nshards.txt': '1', 'test/0.tar': cut })).rejects.toThrow(
        /0\.tar cannot be read to its end/,
      );
    }
    await expect(shards({ 'test/nshards.txt': '1', 'test/0.tar': content })).rejects.toThrow(
      'class 2, but classnames.txt has 2 names',
    );
    await expect(
      read('pets', writeFiles({ 'test/nshards.txt': '1', 'test/0.tar': content })),
    ).rejects.toThrow('classnames.txt is missing');
  });
});
