/**
 * The configuration of a model of which there are only the tensors: sizes from their shapes, as OpenAI's `build_model` finds
 * them; what no shape tells, from published models of the same sizes, or assumed and said so.
 */
import type { ActivationName } from '@clipin/nn';
import {
  configurations,
  type ModelConfig,
  type TextConfig,
  type TowerConfig,
  type VisionConfig,
} from '../configurations';
import { huggingFaceClip } from './names-hugging-face';
import { type NamedTensors, type Naming, ourShapes } from './naming';
import { siglipVision, type Trunk } from './timm-trunks';

/** A configuration, and what of it was assumed, in sentences. */
export interface Inferred {
  readonly config: ModelConfig;
  readonly assumptions: readonly string[];
}

/** A rotary tower has no table that tells how long texts may be; as in TULIP and CLIP-IN. */
const ROTARY_CONTEXT = 248;
/** Of all towers of OpenAI's. */
const HEAD_WIDTH = 64;
const CHANNELS = 3;

type Shapes = ReadonlyMap<string, readonly number[]>;

/**
 * The configuration of a file's tensors.
 *
 * @throws Error naming the file if a size cannot be found, with what to give instead
 */
export function inferConfig(found: NamedTensors, naming: Naming): Inferred {
  const shapes = ourShapes(naming, found);
  const isSiglip = shapes.has('image.pool.probe');
  const activation = activationsOf(found, naming, shapes, isSiglip);
  const image = towerOf('image', shapes, activation.image, found.file);
  const text = towerOf('text', shapes, activation.text, found.file);
  const vision = visionOf(image, shapes, isSiglip, found.file);
  const config: ModelConfig = {
    embedding: side(shapes, 'text.projection', 1, found.file),
    vision,
    text: textOf(text, shapes, isSiglip, found.file),
    ...(isSiglip && { logitBias: true }),
  };
  const heads = headsOf(config, found.file);
  return {
    config: {
      ...config,
      vision: { ...config.vision, heads: heads.vision },
      text: { ...config.text, heads: heads.text },
    },
    assumptions: [
      ...activation.assumptions,
      ...heads.assumptions,
      ...(config.text.positions === 'rotary'
        ? [`texts have up to ${ROTARY_CONTEXT} tokens, since rotary positions do not tell`]
        : []),
    ],
  };
}

/** Sizes of the image tower. */
export function inferTrunk(found: NamedTensors, naming: Naming): Omit<Trunk, 'heads' | 'activation'> {
  const shapes = ourShapes(naming, found);
  const tower = towerOf('image', shapes, 'gelu', found.file);
  const { patchSize, width, depth, mlpHidden = 4 * width } = visionOf(tower, shapes, true, found.file);
  return { patchSize, width, depth, mlpHidden };
}

/** OpenAI's own files are known by the sizes that they hold as tensors. */
const isOpenAi = ({ tensors }: NamedTensors): boolean =>
  ['input_resolution', 'context_length', 'vocab_size'].every((name) => tensors.has(name));

function activationsOf(found: NamedTensors, naming: Naming, shapes: Shapes, isSiglip: boolean) {
  const both = (activation: ActivationName, ...assumptions: string[]) => ({
    image: activation,
    text: activation,
    assumptions,
  });
  if (isSiglip) return both('geluTanh', 'activations are geluTanh, as in SigLIP');
  if (!shapes.has('text.positions')) {
    return {
      image: 'quickGelu' as const,
      text: 'gelu' as const,
      assumptions: ['activations are quickGelu of images and gelu of texts, as in TULIP and CLIP-IN'],
    };
  }
  if (isOpenAi(found)) return both('quickGelu');
  if (shapes.has('text.stretchedPositions'))
    return both('quickGelu', 'activations are quickGelu, as in Long-CLIP');
  if (naming === huggingFaceClip)
    return both('quickGelu', "activations are quickGelu, Hugging Face's default");
  return both(
    'gelu',
    "activations are gelu, open_clip's default; weights that began as OpenAI's, and DFN's, need quickGelu",
  );
}

/** What both towers have, but for the heads, which no shape tells. */
function towerOf(
  name: 'image' | 'text',
  shapes: Shapes,
  activation: ActivationName,
  file: string,
): TowerConfig {
  let depth = 0;
  while (shapes.has(`${name}.blocks.${depth}.ln1.gain`)) depth++;
  const [width, hidden] = [0, 1].map((axis) =>
    side(shapes, `${name}.blocks.0.mlp.up.weight`, axis, file),
  ) as [number, number];
  return { width, depth, heads: 0, ...(hidden !== 4 * width && { mlpHidden: hidden }), activation };
}

function visionOf(tower: TowerConfig, shapes: Shapes, isSiglip: boolean, file: string): VisionConfig {
  const withClass = shapes.has('image.classToken');
  const patchSize = Math.sqrt(side(shapes, 'image.patches.weight', 0, file) / CHANNELS);
  const grid = Math.sqrt(side(shapes, 'image.positions', 0, file) - Number(withClass));
  if (!Number.isInteger(patchSize) || !Number.isInteger(grid)) {
    throw new Error(`${file}: its patches or positions are not square; give the configuration`);
  }
  const imageSize = grid * patchSize;
  if (isSiglip)
    return siglipVision(imageSize, { ...tower, patchSize, mlpHidden: tower.mlpHidden ?? 4 * tower.width });
  return { imageSize, patchSize, ...tower, pool: withClass ? 'class' : 'mean' };
}

function textOf(tower: TowerConfig, shapes: Shapes, isSiglip: boolean, file: string): TextConfig {
  const hasTable = shapes.has('text.positions');
  const stretched = shapes.has('text.stretchedPositions');
  return {
    vocabulary: side(shapes, 'text.tokens.weight', 0, file),
    contextLength: hasTable ? side(shapes, 'text.positions', 0, file) : ROTARY_CONTEXT,
    ...tower,
    positions: stretched ? 'stretched' : hasTable ? 'absolute' : 'rotary',
    ...(isSiglip && { epsilon: 1e-6, causal: false, pool: 'last', projectionBias: true }),
  };
}

/** Heads of a published tower of the same sizes, or of OpenAI's width. */
function headsOf(config: ModelConfig, file: string) {
  const assumptions: string[] = [];
  const of = (part: 'vision' | 'text'): number => {
    const { width, depth } = config[part];
    const published = Object.values(configurations).find(
      (known: ModelConfig) => known[part].width === width && known[part].depth === depth,
    );
    if (published) return published[part].heads;
    if (width % HEAD_WIDTH !== 0) {
      throw new Error(
        `${file}: nothing tells how many heads the ${part} tower of width ${width} has; give the configuration`,
      );
    }
    assumptions.push(`heads of the ${part} tower have a width of ${HEAD_WIDTH}, as in OpenAI's models`);
    return width / HEAD_WIDTH;
  };
  return { vision: of('vision'), text: of('text'), assumptions };
}

function side(shapes: Shapes, path: string, axis: number, file: string): number {
  const found = shapes.get(path)?.[axis];
  if (found === undefined) {
    throw new Error(
      `${file}: the tensor that would be ${path} is missing or of another form, so no size can be told from it`,
    );
  }
  return found;
}
