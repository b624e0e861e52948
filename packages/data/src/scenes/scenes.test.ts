import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadArt } from '../art/art';
import { itemOf } from '../inventory/inventory';
import { tripletAt } from '../world';
import { longCaption, shortCaption, WORDINGS } from './captions';
import { CLIP_MEAN, CLIP_STD, createRenderer } from './render';
import { BACKGROUNDS, centerOf, isHidden, overlap, type Scene, SIZES } from './scene';
import { combinationOf, SPLITS, splitOf } from './splits';

const anyTriplet = fc
  .tuple(fc.nat(1e6), fc.constantFrom(...SPLITS), fc.nat(1e9))
  .map(([seed, split, index]) => ({ seed, split, index, ...tripletAt(seed, split, index) }));

const object = { place: 'center', size: 'large', mirrored: false, upsideDown: false, shift: [0, 0] } as const;

describe('scenes', () => {
  test('the same address gives the same scene, another gives another', () => {
    expect(tripletAt(7, 'train', 123)).toEqual(tripletAt(7, 'train', 123));
    const texts = new Set(
      Array.from({ length: 500 }, (_, i) => JSON.stringify(tripletAt(7, 'train', i).scene)),
    );
    expect(texts.size).toBeGreaterThan(490);
    expect(tripletAt(8, 'train', 123)).not.toEqual(tripletAt(7, 'train', 123));
  });

  test('objects neither overlap nor hide, and belong to the split', () => {
    checkProperty(
      fc.property(anyTriplet, ({ scene, split }) => {
        expect(scene.objects.length).toBeGreaterThanOrEqual(1);
        expect(scene.objects.length).toBeLessThanOrEqual(4);
        scene.objects.forEach((a, i) => {
          for (const b of scene.objects.slice(i + 1)) expect(overlap(a, b)).toBe(false);
          const item = itemOf(a.item);
          expect(isHidden(item, scene.background)).toBe(false);
          expect(a.mirrored && !item.faces).toBe(false);
          expect(a.upsideDown && !item.turns).toBe(false);
          if (split !== 'test') expect(item.heldOut).toBe(false);
        });
        expect(splitOf(scene)).toBe(split);
      }),
      { numRuns: 500 },
    );
  });

  test('no combination of training is one of validation or test, whatever the seeds', () => {
    const of = (split: (typeof SPLITS)[number], seed: number) =>
      new Set(Array.from({ length: 1500 }, (_, i) => combinationOf(tripletAt(seed, split, i).scene)));
    const train = of('train', 1);
    const validation = of('validation', 2);
    for (const combination of [...of('test', 3)]) {
      expect(train.has(combination)).toBe(false);
      expect(validation.has(combination)).toBe(false);
    }
    for (const combination of validation) expect(train.has(combination)).toBe(false);
  });
});

describe('captions', () => {
  test('the long caption names every object with size, colour and place, and the background', () => {
    checkProperty(
      fc.property(anyTriplet, fc.nat(WORDINGS - 1), ({ scene }, wording) => {
        const caption = longCaption(scene, wording).toLowerCase();
        expect(caption).toContain(`plain ${scene.background}`);
        for (const { item: id, place, size, mirrored, upsideDown } of scene.objects) {
          const item = itemOf(id);
          const copies = scene.objects.filter((other) => other.item === id).length;
          const noun = copies > 1 ? item.plural : item.noun;
          const color = item.color === item.adjective || item.color === item.noun ? undefined : item.color;
          const words = [size, upsideDown && 'upside-down', color, item.adjective, noun, item.tail]
            .filter(Boolean)
            .join(' ');
          const view = item.view ? ` from the ${item.view}` : '';
          const facing = item.faces ? ` facing ${mirrored ? 'right' : 'left'}` : '';
          expect(caption).toContain(`${words}${view}${facing}`);
          expect(caption).toContain(place === 'center' ? 'in the center' : `at the ${place}`);
          if (copies > 1) expect(caption).toContain(['two', 'three', 'four'][copies - 2]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('long captions have 20 to 55 words, short ones few', () => {
    checkProperty(
      fc.property(anyTriplet, ({ short, long }) => {
        expect(long.split(' ').length).toBeGreaterThanOrEqual(18);
        expect(long.split(' ').length).toBeLessThanOrEqual(55);
        expect(short.split(' ').length).toBeLessThanOrEqual(26);
      }),
      { numRuns: 500 },
    );
  });

  test('a stated relation is true of the places', () => {
    let stated = 0;
    checkProperty(
      fc.property(anyTriplet, fc.nat(WORDINGS - 1), ({ scene }, wording) => {
        fc.pre(scene.objects.length === 2 && scene.objects[0]!.item !== scene.objects[1]!.item);
        const caption = shortCaption(scene, { relation: true }, wording);
        const [, relation] = / (to the left of|to the right of|above|below) /.exec(caption)!;
        const [first, second] = scene.objects
          .map((placed) => ({
            placed,
            at: caption.indexOf(
              [itemOf(placed.item).adjective, itemOf(placed.item).noun, itemOf(placed.item).tail]
                .filter(Boolean)
                .join(' '),
            ),
          }))
          .sort((a, b) => a.at - b.at);
        // One name may begin another ("truck", "fire truck"); such pairs say nothing here.
        fc.pre(first!.at !== second!.at && caption.split(itemOf(first!.placed.item).noun).length === 2);
        const [[ax, ay], [bx, by]] = [centerOf(first!.placed), centerOf(second!.placed)];
        const gap = { 'to the left of': bx - ax, 'to the right of': ax - bx, above: by - ay, below: ay - by }[
          relation!
        ]!;
        expect(gap, caption).toBeGreaterThanOrEqual(0.2);
        stated++;
      }),
      { numRuns: 400 },
    );
    expect(stated).toBe(400);
  });

  test('articles, plurals and numbers', () => {
    const one: Scene = { background: 'red', objects: [{ ...object, item: 'elephant', mirrored: true }] };
    expect(shortCaption(one)).toBe('an elephant');
    expect(shortCaption(one, { size: true, facing: true, background: true, place: true })).toBe(
      'a large elephant facing right in the center on a red background',
    );
    const places = ['left', 'right', 'top'] as const;
    const three: Scene = {
      background: 'white',
      objects: places.map((place) => ({ ...object, item: 'cherry', place, size: 'small' })),
    };
    expect(shortCaption(three)).toBe('three cherries');
    expect(longCaption(three)).toBe(
      'There are three small red cherries, at the left, at the right and at the top. There is nothing else in the picture. The background is plain white.',
    );
  });
});

describe('pixels', () => {
  const art = loadArt(['openmoji']);

  test('an object is inside its box and the background elsewhere', () => {
    const scene: Scene = {
      background: 'blue',
      objects: [{ ...object, item: 'red-heart', place: 'top right' }],
    };
    const canvas = 64;
    const pixels = createRenderer(art, { canvas, scale: 'unit' }).render(scene, 'openmoji');
    const side = SIZES.large * canvas;
    let painted = 0;
    for (let y = 0; y < canvas; y++) {
      for (let x = 0; x < canvas; x++) {
        const plain = BACKGROUNDS.blue.every(
          (value, c) => Math.abs(pixels[(y * canvas + x) * 3 + c]! - value / 255) < 1e-6,
        );
        if (x < canvas - side || y >= side) expect(plain).toBe(true);
        else if (!plain) painted++;
      }
    }
    expect(painted).toBeGreaterThan(0.4 * side * side);
  });

  test('mirroring and turning the object mirror and turn the picture', () => {
    const renderer = createRenderer(art, { scale: 'unit' });
    const scene = (change: Partial<Scene['objects'][0]>): Scene => ({
      background: 'pink',
      objects: [{ ...object, item: 'horse', ...change }],
    });
    const plain = renderer.render(scene({}), 'openmoji');
    const mirrored = renderer.render(scene({ mirrored: true }), 'openmoji');
    const turned = renderer.render(scene({ upsideDown: true }), 'openmoji');
    for (let y = 0; y < 48; y++) {
      for (let x = 0; x < 48; x++) {
        const here = (y * 48 + x) * 3;
        expect(mirrored[here]).toBe(plain[(y * 48 + 47 - x) * 3]);
        expect(turned[here]).toBe(plain[((47 - y) * 48 + x) * 3]);
      }
    }
  });

  test('the clip scale is the unit scale, normalised', () => {
    const { scene } = tripletAt(1, 'train', 0);
    const art2 = loadArt(['twemoji']);
    const unit = createRenderer(art2, { scale: 'unit' }).render(scene, 'twemoji');
    const clip = createRenderer(art2).render(scene, 'twemoji');
    const own = { mean: [0.5, 0.4, 0.3], std: [0.5, 0.25, 0.2] } as const;
    const other = createRenderer(art2, { scale: own }).render(scene, 'twemoji');
    unit.forEach((value, i) => {
      expect(clip[i]).toBeCloseTo((value - CLIP_MEAN[i % 3]!) / CLIP_STD[i % 3]!, 4);
      expect(other[i]).toBeCloseTo((value - own.mean[i % 3]!) / own.std[i % 3]!, 4);
      expect(value).toBeGreaterThanOrEqual(-1e-6);
      expect(value).toBeLessThanOrEqual(1 + 1e-6);
    });
  });

  test('bad canvases, numbers and arrays are refused', () => {
    expect(() => createRenderer(art, { canvas: 10 })).toThrow(
      /canvas must be a whole number from 16 up, got 10/,
    );
    expect(() =>
      createRenderer(art).render(tripletAt(0, 'train', 0).scene, 'openmoji', new Float32Array(5)),
    ).toThrow(/needs 6912 elements, the array has 5/);
    expect(() => tripletAt(0, 'train', -1)).toThrow(/index must be a whole number from 0 up, got -1/);
    expect(() => tripletAt(0.5, 'train', 1)).toThrow(/seed must be/);
    expect(() => tripletAt(0, 'dev' as 'train', 1)).toThrow(/no split is called "dev"; there are train/);
  });
});
