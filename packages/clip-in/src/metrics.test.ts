import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { averagePrompts, cosines, pairCorrect, pairReport, retrieval, topOne } from './metrics';

const of = (...values: number[]) => Float32Array.from(values);

/** Standard normal numbers from a seed, by Box and Muller. */
function normals(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

describe('retrieval', () => {
  // Images by texts. Image 2's own text is its second best; text 0's own image is the worst.
  const similarity = of(0.1, 0.2, 0.0, 0.5, 0.9, 0.3, 0.4, 0.8, 0.6);

  it('counts ranks both ways', () => {
    expect(retrieval(similarity, 3, [1, 2, 3])).toEqual({
      imageToText: { 1: 100 / 3, 2: 100, 3: 100 },
      textToImage: { 1: 200 / 3, 2: 200 / 3, 3: 100 },
    });
  });

  it('gives a model that says the same of everything 0, and a perfect one 100', () => {
    expect(retrieval(new Float32Array(100).fill(0.5), 10)).toEqual({
      imageToText: { 1: 0, 5: 0 },
      textToImage: { 1: 0, 5: 0 },
    });
    const perfect = Float32Array.from({ length: 100 }, (_, i) => (i % 11 === 0 ? 1 : 0));
    expect(retrieval(perfect, 10)).toEqual({
      imageToText: { 1: 100, 5: 100 },
      textToImage: { 1: 100, 5: 100 },
    });
    expect(retrieval(new Float32Array(9).fill(NaN), 3).textToImage).toEqual({ 1: 0, 5: 0 });
    expect(retrieval(of(NaN, 0, 0, NaN), 2).textToImage).toEqual({ 1: 0, 5: 0 });
  });

  it('agrees with sorting, whatever the similarities', () => {
    checkProperty(
      fc.property(
        fc.nat(2 ** 31),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 6 }),
        (seed, n, k) => {
          const s = normals(n * n, seed);
          const best = (query: number) =>
            Array.from({ length: n }, (_, i) => i)
              .sort((a, b) => s[query * n + b]! - s[query * n + a]!)
              .slice(0, k);
          const hits = Array.from({ length: n }, (_, query) => best(query).includes(query)).filter(
            Boolean,
          ).length;
          expect(retrieval(s, n, [k]).imageToText[k]).toBeCloseTo((100 * hits) / n, 10);
          const turned = Float32Array.from({ length: n * n }, (_, i) => s[(i % n) * n + Math.floor(i / n)]!);
          expect(retrieval(turned, n, [k]).textToImage).toEqual(retrieval(s, n, [k]).imageToText);
        },
      ),
    );
  });

  it('refuses a matrix that is not square', () => {
    expect(() => retrieval(new Float32Array(6), 3)).toThrow('retrieval: 6 values are not [3, 3]');
  });
});

describe('pairs', () => {
  it.each<[string, number[], boolean, boolean]>([
    ['both directions right', [0.9, 0.1, 0.2, 0.8], true, true],
    ["texts right, but the first picture prefers the other's text", [0.3, 0.4, 0.2, 0.5], true, false],
    ['both texts choose the first picture', [0.9, 0.8, 0.2, 0.3], false, true],
    ['pictures right, texts wrong', [0.2, 0.1, 0.4, 0.5], false, true],
    ['both texts choose the wrong picture', [0.1, 0.9, 0.8, 0.2], false, false],
    ['a tie of the first text', [0.5, 0.1, 0.5, 0.9], false, true],
    ['a tie of the second text', [0.9, 0.5, 0.1, 0.5], false, true],
    ['a tie of a picture only', [0.5, 0.5, 0.2, 0.9], true, false],
    ['all ties', [0.5, 0.5, 0.5, 0.5], false, false],
    ['NaN', [NaN, 0, 0, 1], false, false],
  ])('%s', (_, scores, texts, images) => {
    expect(pairCorrect(of(...scores))).toEqual({
      textToImage: [texts],
      imageToText: [images],
      bothDirections: [texts && images],
    });
  });

  it("is the official script's softmax over the two pictures", () => {
    // As it is written there: whatever is not the first picture is the second.
    const official = ([s00, s01, s10, s11]: number[]) => {
      const first = (a: number, b: number) =>
        Math.exp(100 * a) / (Math.exp(100 * a) + Math.exp(100 * b)) > 0.5 ? 'img1' : 'img2';
      return first(s00!, s10!) === 'img1' && first(s01!, s11!) === 'img2';
    };
    const cosine = fc.integer({ min: -100, max: 100 }).map((value) => value / 100);
    checkProperty(
      fc.property(fc.array(cosine, { minLength: 4, maxLength: 4 }), (scores) => {
        const tie = scores[1] === scores[3];
        expect(pairCorrect(of(...scores)).textToImage[0]).toBe(!tie && official(scores));
      }),
    );
    // The one difference: there a tie of the second text is right.
    expect(official([0.9, 0.5, 0.1, 0.5])).toBe(true);
    expect(official([0.5, 0.5, 0.5, 0.5])).toBe(false);
  });

  it('random embeddings are right in a quarter, and independent scores both ways in a sixth', () => {
    const pairs = 20_000;
    const width = 16;
    const [images, texts] = [normals(pairs * 2 * width, 1), normals(pairs * 2 * width, 2)];
    const scores = new Float32Array(pairs * 4);
    for (let p = 0; p < pairs; p++) {
      const rows = (x: Float32Array) => x.subarray(p * 2 * width, (p + 1) * 2 * width);
      scores.set(cosines(rows(images), rows(texts), width), p * 4);
    }
    const report = pairReport(
      scores,
      Array.from({ length: pairs }, (_, p) => `pattern ${p % 9}`),
    );
    // Standard error of a share of a quarter: 0.3 points.
    expect(Math.abs(report.pairAccuracy - 25)).toBeLessThan(1.2);
    const independent = pairReport(
      normals(pairs * 4, 3),
      Array.from({ length: pairs }, () => 'x'),
    );
    expect(Math.abs(independent.bothDirections - 100 / 6)).toBeLessThan(1.2);
  });

  it('averages patterns, not pairs', () => {
    const right = [0.9, 0.1, 0.1, 0.9];
    const wrong = [0.1, 0.9, 0.9, 0.1];
    const onlyTexts = [0.3, 0.4, 0.2, 0.5];
    expect(
      pairReport(of(...right, ...wrong, ...wrong, ...onlyTexts), ['Texts', 'State', 'State', 'State']),
    ).toEqual({
      pairAccuracy: (100 + 100 / 3) / 2,
      perPattern: { Texts: 100, State: 100 / 3 },
      bothDirections: 50,
      counts: { Texts: 1, State: 3 },
    });
    expect(pairReport(new Float32Array(8).fill(0.3), ['a', 'b']).pairAccuracy).toBe(0);
    expect(pairReport(of(...right, ...right), ['a', 'b']).pairAccuracy).toBe(100);
    expect(pairReport(of(), [])).toEqual({ pairAccuracy: 0, perPattern: {}, bothDirections: 0, counts: {} });
    expect(() => pairReport(of(1, 2), ['a'])).toThrow('2 values are not [1, 2, 2]');
  });
});

describe('zero-shot', () => {
  it('averages the directions of prompts, not their lengths', () => {
    const [x, y] = averagePrompts(of(10, 0, 0, 1, /* second class */ 0, -2, 0, -3), 2, 2);
    expect([x, y]).toEqual([expect.closeTo(Math.SQRT1_2, 6), expect.closeTo(Math.SQRT1_2, 6)]);
    expect([...averagePrompts(of(10, 0, 0, 1, 0, -2, 0, -3), 2, 2).slice(2)]).toEqual([0, -1]);
  });

  it('takes the first of the classes, ties being wrong', () => {
    const similarity = of(0.9, 0.1, 0.0, 0.2, 0.2, 0.1, 0.0, 0.1, 0.2);
    expect(topOne(similarity, 3, [0, 1, 2])).toBeCloseTo(200 / 3);
    expect(topOne(new Float32Array(9), 3, [0, 1, 2])).toBe(0);
    expect(() => topOne(similarity, 3, [0, 1, 3])).toThrow('label 3 of picture 2 is none of 3 classes');
  });
});

it('cosines are those of the formula', () => {
  const a = of(3, 4, 0, 0);
  const b = of(1, 0, 0, 2, -3, -4);
  const expected = [0.6, 0.8, -1, 0, 0, 0];
  expect([...cosines(a, b, 2)].map((value, i) => Math.abs(value - expected[i]!) < 1e-6)).toEqual(
    Array(6).fill(true),
  );
  expect(() => cosines(a, b, 5)).toThrow('no embeddings of width 5');
});
