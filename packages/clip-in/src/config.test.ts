import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configJsonSchema, listSettings, loadConfig, parseConfig } from './config';
import { configurations } from './configurations';

const complaint = (input: unknown): string => {
  try {
    parseConfig(input);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
};

describe('defaults', () => {
  it('fills in what is left out, at every depth', () => {
    const config = parseConfig({ training: { steps: 7, warmup: 2 } });
    expect(config.training).toMatchObject({
      steps: 7,
      warmup: 2,
      loss: 'clip-in',
      longCaptions: true,
      betas: [0.9, 0.98],
    });
    expect(config.data.hands).toEqual(['openmoji', 'twemoji', 'fluent', 'emojione']);
    expect(parseConfig(config)).toEqual(config);
    expect(parseConfig()).toEqual(parseConfig({}));
  });

  it('are separate objects every time', () => {
    parseConfig().data.hands.length = 0;
    expect(parseConfig().data.hands).toHaveLength(4);
  });

  it('are described, every one', () => {
    const lines = listSettings().split('\n');
    expect(lines.length).toBeGreaterThan(35);
    for (const line of lines) expect(line).toMatch(/^ {2}[\w.]+=\S+ {2,}\S/);
    expect(configJsonSchema()).toMatchObject({
      type: 'object',
      properties: { seed: { type: 'integer', default: 0 } },
    });
  });
});

describe('mistakes', () => {
  it.each<[unknown, string]>([
    [{ trainig: {} }, 'trainig: there is no such setting; did you mean "training"?'],
    [
      { training: { learning_rate: 1 } },
      'training.learning_rate: there is no such setting; did you mean "learningRate"?',
    ],
    [{ checkpoints: { colour: 1 } }, 'checkpoints.colour: there is no such setting; there are every, keep'],
    [
      { training: { loss: 'clipin' } },
      'training.loss: got "clipin"; needs one of clip, negclip, tripletclip, clip-in; did you mean "clip-in"?',
    ],
    [{ training: { loss: 7 } }, 'training.loss: got 7; needs one of clip, negclip, tripletclip, clip-in'],
    [{ training: { steps: -1 } }, 'training.steps: got -1; needs a whole number from 0 up'],
    [{ training: { steps: 1.5 } }, 'training.steps: got 1.5; needs a whole number from 0 up'],
    [{ training: { learningRate: '1e-3' } }, 'training.learningRate: got "1e-3"; needs a number above 0'],
    [{ training: { betas: [0.9, 1] } }, 'training.betas.1: got 1; needs a number from 0 below 1'],
    [{ training: { betas: [0.9] } }, 'training.betas'],
    [{ training: { clipNorm: 0 } }, 'training.clipNorm: got 0; needs a number above 0 or null'],
    [{ training: { longCaptions: 1 } }, 'training.longCaptions: got 1; needs true or false'],
    [
      { training: { steps: 5, warmup: 6 } },
      'training.warmup: a warm-up of 6 steps does not fit into 5 steps',
    ],
    [
      { data: { hands: ['noto', 'twemojis'] } },
      'data.hands.1: got "twemojis"; needs one of openmoji, twemoji, fluent, emojione, noto; did you mean "twemoji"?',
    ],
    [
      { data: { hands: [] } },
      'data.hands: got []; needs a list with at least one element, each one of openmoji',
    ],
    [{ data: 3 }, 'data: got 3; needs settings in braces (seed, hands'],
    [
      { model: 7 },
      `model: got 7; needs one of ${Object.keys(configurations).join(', ')} or settings in braces (embedding, vision, text)`,
    ],
    [
      {
        model: {
          embedding: 8,
          vision: { patchSize: 4, width: 8, depht: 1, heads: 1, depth: 1 },
          text: { width: 8, depth: 1, heads: 1 },
        },
      },
      'model.vision.depht: there is no such setting; did you mean "depth"?',
    ],
    [
      { model: { embedding: 8, vision: { patchSize: 4, width: 8, depth: 1, heads: 1 } } },
      'model.text: is missing; needs settings in braces (width, depth, heads)',
    ],
    [{ model: 'vit-b-32' }, 'model: got "vit-b-32"; needs one of small-world, ViT-B/32'],
    [[], 'the configuration: got []; needs settings in braces'],
    ['x', 'the configuration: got "x"; needs settings'],
    [null, 'the configuration: got null; needs settings'],
  ])('%j', (input, message) => {
    expect(complaint(input)).toContain(`configuration: ${message}`);
  });

  it('are listed all at once', () => {
    expect(complaint({ sed: 1, training: { steps: -1, batch: 3 } })).toMatch(
      /3 mistakes\n {2}training.steps[\s\S]*\n {2}training.batch[\s\S]*\n {2}sed/,
    );
  });

  it('a misspelt key is never silently taken, whichever it is', () => {
    const paths = Object.entries(configJsonSchema().properties!).flatMap(([key, node]) => [
      [key],
      ...Object.keys(node.properties ?? {}).map((inner) => [key, inner]),
    ]);
    checkProperty(
      fc.property(
        fc.constantFrom(...paths),
        fc.nat(20),
        fc.constantFrom('x', '_', 'Q'),
        (path, at, letter) => {
          const last = path.at(-1)!;
          const wrong = last.slice(0, at % (last.length + 1)) + letter + last.slice(at % (last.length + 1));
          const inner = { [wrong]: 1 };
          expect(complaint(path.length === 1 ? inner : { [path[0]!]: inner })).toContain(`"${last}"?`);
        },
      ),
    );
  });
});

describe('files', () => {
  it('are read, and overridden by path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'config-'));
    const file = join(folder, 'run.json');
    await writeFile(file, '{"seed": 3, "training": {"steps": 9, "warmup": 1}}');
    const config = await loadConfig(file, {
      overrides: [
        'training.steps=11',
        'data.hands=["noto"]',
        'out=runs/x',
        'training.loss=clip',
        'training.clipNorm=null',
      ],
    });
    expect(config).toMatchObject({ seed: 3, out: 'runs/x', data: { hands: ['noto'] } });
    expect(config.training).toMatchObject({ steps: 11, warmup: 1, loss: 'clip', clipNorm: null });
    await expect(loadConfig(file, { overrides: ['training.step=1'] })).rejects.toThrow(
      `${file} and command line: training.step: there is no such setting; did you mean "steps"?`,
    );
    await expect(loadConfig(undefined, { overrides: ['seed'] })).rejects.toThrow(
      '--set seed: needs path=value',
    );
    expect(await loadConfig({ seed: 4 }, { overrides: ['data.seed=5'] })).toEqual(
      parseConfig({ seed: 4, data: { seed: 5 } }),
    );
    await writeFile(file, '{"seed": }');
    await expect(loadConfig(file)).rejects.toThrow(`${file}: is not JSON`);
    await expect(loadConfig(join(folder, 'none.json'))).rejects.toThrow('cannot read');
    await rm(folder, { recursive: true });
  });
});
