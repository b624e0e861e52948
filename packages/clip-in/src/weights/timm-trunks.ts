/** The image towers that timm has for SigLIP, which open_clip knows by name only. */
import type { ActivationName } from '@clipin/nn';
import type { VisionConfig } from '../configurations';

/** A tower's sizes. */
export interface Trunk {
  readonly patchSize: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly mlpHidden: number;
  readonly activation: ActivationName;
}

type Form = Omit<Trunk, 'patchSize' | 'activation'>;

const base: Form = { width: 768, depth: 12, heads: 12, mlpHidden: 3072 };
const large: Form = { width: 1024, depth: 24, heads: 16, mlpHidden: 4096 };
const so400m: Form = { width: 1152, depth: 27, heads: 16, mlpHidden: 4304 };
const giantopt: Form = { width: 1536, depth: 40, heads: 16, mlpHidden: 6144 };

/** Those that came with SigLIP 2 have the tanh approximation of GELU; the older ones, kept for both, plain GELU. */
const TRUNKS: readonly (readonly [name: RegExp, Trunk])[] = [
  [/^vit_base_patch16_siglip_\d+$/, { ...base, patchSize: 16, activation: 'gelu' }],
  [/^vit_base_patch32_siglip_\d+$/, { ...base, patchSize: 32, activation: 'geluTanh' }],
  [/^vit_large_patch16_siglip_(?:256|384)$/, { ...large, patchSize: 16, activation: 'gelu' }],
  [/^vit_large_patch16_siglip_512$/, { ...large, patchSize: 16, activation: 'geluTanh' }],
  [/^vit_so400m_patch14_siglip_\d+$/, { ...so400m, patchSize: 14, activation: 'gelu' }],
  [/^vit_so400m_patch16_siglip_\d+$/, { ...so400m, patchSize: 16, activation: 'geluTanh' }],
  [/^vit_giantopt_patch16_siglip_\d+$/, { ...giantopt, patchSize: 16, activation: 'geluTanh' }],
];

/** The tower of a name; undefined for one that is not known here. */
export const trunkNamed = (name: string): Trunk | undefined =>
  TRUNKS.find(([pattern]) => pattern.test(name))?.[1];

/** timm's name of a tower of these sizes. One that timm does not have gets a name of the same kind. */
export function trunkOf({ imageSize, patchSize, width, depth, heads }: VisionConfig): string {
  const known = { base, large, so400m, giantopt };
  const form = (Object.keys(known) as (keyof typeof known)[]).find(
    (name) => known[name].width === width && known[name].depth === depth && known[name].heads === heads,
  );
  return `vit_${form ?? `${width}x${depth}`}_patch${patchSize}_siglip_${imageSize}`;
}

/** The image tower that timm has for SigLIP; its norms add 1e-6. */
export const siglipVision = (
  imageSize: number,
  { patchSize, width, depth, heads, mlpHidden, activation }: Trunk,
): VisionConfig => ({
  imageSize,
  patchSize,
  width,
  depth,
  heads,
  ...(mlpHidden !== 4 * width && { mlpHidden }),
  activation,
  epsilon: 1e-6,
  pool: 'attention',
  patchBias: true,
  lnPre: false,
  projection: false,
});
