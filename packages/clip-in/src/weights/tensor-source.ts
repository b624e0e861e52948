/** Where tensors come from, whatever the format: their names and shapes at once, their elements one by one. */
import type { StoredTensor, TensorInfo } from './safetensors';

/** One or several files of tensors. */
export interface TensorSource {
  /** The file, for errors; of several, the index that names them. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What the file says beside its tensors, if its format can. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Reads one tensor, in f32, i32 or u32. */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}
