/** What kinds of adapter there are, and what the two ways of finding one (`#gpu`) have in common. */
/// <reference types="@webgpu/types" />

/** `hardware`: a GPU; `software`: a driver that computes on the CPU; `any`: hardware where there is some, else software. */
export type AdapterKind = 'hardware' | 'software' | 'any';

/** An adapter, or what was tried in vain. */
export interface AdapterSearch {
  readonly adapter?: GPUAdapter;
  readonly tried: readonly string[];
  /** Kept as long as the device: Dawn goes when its `GPU` object is collected. */
  readonly owner?: GPU;
}

const softwareNames = /swiftshader|llvmpipe|lavapipe|software|basic render/i;

/** Whether the adapter computes on the CPU. */
export const isSoftware = ({ info }: GPUAdapter): boolean =>
  info.isFallbackAdapter === true ||
  softwareNames.test(`${info.architecture} ${info.device} ${info.description}`);

/** Whether the adapter is one of the kind asked for. */
export const fits = (adapter: GPUAdapter, kind: AdapterKind): boolean =>
  kind === 'any' || isSoftware(adapter) === (kind === 'software');

/** Those of these features that the adapter offers; experiments have names that `GPUFeatureName` does not know. */
export const offered = ({ features }: GPUAdapter, names: readonly string[]): GPUFeatureName[] =>
  names.filter((name): name is GPUFeatureName => features.has(name));

/** The adapter's name for people: `SwiftShader driver 5.0.0 (software)`. */
export function describeAdapter(adapter: GPUAdapter): string {
  const { description, device, vendor, architecture } = adapter.info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter';
  return `${name} (${isSoftware(adapter) ? 'software' : 'hardware'})`;
}

/** Asks one `GPU` object for an adapter of this kind and notes the answer in `tried`. */
export async function askFor(
  gpu: GPU,
  kind: AdapterKind,
  tried: string[],
  where: string,
): Promise<GPUAdapter | null> {
  const plain: GPURequestAdapterOptions = { powerPreference: 'high-performance' };
  // Dawn finds lavapipe only once it was asked without `forceFallbackAdapter`.
  const questions = kind === 'software' ? [plain, { forceFallbackAdapter: true }] : [plain];
  let other: GPUAdapter | null = null;
  for (const question of questions) {
    const adapter = await gpu.requestAdapter(question);
    if (adapter && fits(adapter, kind)) return adapter;
    other ??= adapter;
  }
  tried.push(
    `${where}: ${other ? `only ${describeAdapter(other)}` : `no ${kind === 'any' ? '' : `${kind} `}adapter`}`,
  );
  return null;
}
