/**
 * On which devices the towers of a model go. A wasm device holds 4 GiB, because its memory has addresses of 32 bits; a model of
 * a billion parameters needs one for each tower. Decided from the configuration, before any weight is read.
 */
import { type Device, randomKey } from '@clipin/tensor';
import type { DualEncoder } from '../model';
import { bytesOfParams, type WeightDType } from './half-weights';

/** A device for each tower. */
export interface TowerDevices {
  readonly image: Device;
  readonly text: Device;
}

/** Parameters that a device has room for, in bytes; the rest of a wasm device's 4 GiB is for what is computed. */
const roomOf = ({ kind }: Device): number => (kind === 'wasm' ? 3.5 * 2 ** 30 : Infinity);

/**
 * Devices for the towers: the given one for both, or the text tower's on another.
 *
 * @param another - starts one more device like the given one
 * @param room - bytes of parameters that a device has room for. Default: 3.5 GiB on wasm, no limit elsewhere
 * @param weights - element type of the weights
 * @throws RangeError with the sizes when a tower does not fit a device, or when both do not fit one and there is no other
 */
export async function placeTowers(
  { image, text }: Pick<DualEncoder, 'image' | 'text'>,
  device: Device,
  another?: () => Promise<Device>,
  room = roomOf(device),
  weights: WeightDType = 'f32',
): Promise<TowerDevices> {
  const key = randomKey(0, { device });
  const bytes = {
    image: bytesOfParams(image.init(key), weights),
    text: bytesOfParams(text.init(key), weights),
  };
  for (const [tower, size] of Object.entries(bytes)) {
    if (size > room) {
      throw new RangeError(
        `the ${tower} tower has ${gigabytes(size)} of parameters, and a ${device.kind} device has room for ${gigabytes(room)}; it needs a GPU`,
      );
    }
  }
  if (bytes.image + bytes.text <= room) return { image: device, text: device };
  if (another) return { image: device, text: await another() };
  throw new RangeError(
    `the towers have ${gigabytes(bytes.image)} and ${gigabytes(bytes.text)} of parameters, and a ${device.kind} device has room for ` +
      `${gigabytes(room)}; each needs one of its own: loadPretrained(source, { another: startDevice })` +
      (weights === 'f32' ? ", or half the memory: { dtype: 'f16' }" : ''),
  );
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
