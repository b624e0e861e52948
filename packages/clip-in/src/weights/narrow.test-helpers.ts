import type { ModelConfig } from '../configurations';

/** The little model of the files whose heads are narrower than OpenAI's, which shapes do not tell. */
export const narrow = (text: Partial<ModelConfig['text']> = {}): ModelConfig => ({
  embedding: 12,
  vision: {
    imageSize: 8,
    patchSize: 4,
    width: 16,
    depth: 2,
    heads: 2,
    activation: 'quickGelu',
    pool: 'class',
  },
  text: {
    vocabulary: 40,
    contextLength: 10,
    width: 16,
    depth: 2,
    heads: 2,
    activation: 'quickGelu',
    positions: 'absolute',
    ...text,
  },
});
