/** Under which names a file's tensors are kept. */
import { huggingFaceClip, huggingFaceNaflex, huggingFaceSiglip } from './names-hugging-face';
import { openClip, openClipCustomText, openClipSiglip } from './names-open-clip';
import type { NamedTensors, Naming } from './naming';
import type { TensorSource } from './tensor-source';

/** What wrappers of PyTorch put before all names: data parallelism, compilation. */
const WRAPPERS = ['module.', '_orig_mod.'];

/** The same source without what wrappers put before all names. */
export function unwrapped(source: TensorSource): TensorSource {
  const names = [...source.tensors.keys()];
  const wrapper = WRAPPERS.find((prefix) => names.every((name) => name.startsWith(prefix)));
  if (wrapper === undefined || names.length === 0) return source;
  return unwrapped({
    ...source,
    tensors: new Map([...source.tensors].map(([name, info]) => [name.slice(wrapper.length), info])),
    read: (name) => source.read(wrapper + name),
  });
}

/**
 * The naming of a file's tensors.
 *
 * @throws Error naming the file if its tensors are those of no dual encoder that is known
 */
export function detectNaming({ file, tensors }: NamedTensors): Naming {
  const has = (name: string) => tensors.has(name);
  if (has('vision_model.embeddings.patch_embedding.weight')) {
    if (has('vision_model.embeddings.class_embedding')) return huggingFaceClip;
    const { shape } = tensors.get('vision_model.embeddings.patch_embedding.weight')!;
    return shape.length === 2 ? huggingFaceNaflex : huggingFaceSiglip;
  }
  if (has('visual.trunk.patch_embed.proj.weight')) return openClipSiglip;
  if (has('visual.layer1.0.conv1.weight')) {
    throw new Error(`${file}: its image tower is a ResNet; those of CLIP can be read whose tower is a ViT`);
  }
  if (has('visual.conv1.weight')) return has('text.token_embedding.weight') ? openClipCustomText : openClip;
  const known = [
    openClip,
    openClipCustomText,
    openClipSiglip,
    huggingFaceClip,
    huggingFaceSiglip,
    huggingFaceNaflex,
  ];
  throw new Error(
    `${file}: its tensors (${[...tensors.keys()].slice(0, 3).join(', ')}, …; ${tensors.size} in all) are not those of a model that ` +
      `can be read: ${known.map(({ title }) => title).join('; ')}`,
  );
}
