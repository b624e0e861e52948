/**
 * What PyTorch pickles beside its tensors' bytes: which tensor lies where. A pickle is a program that may ask for any
 * function of Python's; here the few that rebuild tensors are played, values that hold no tensor stay blank, and whoever
 * asks for anything else is refused. No code of the file is ever run.
 */
import { Parser } from 'pickleparser';
import { type FileDType, isCount } from './elements';

/** A tensor of a pickle: a view of a storage, which is a file of the archive. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    /** First element, counted in elements. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {}
}

/** A stretch of elements that tensors are views of. */
export interface TorchStorage {
  readonly dtype: FileDType;
  /** Name of the file in the archive's folder `data`. */
  readonly key: string;
  readonly elements: number;
}

/** A module of TorchScript, with its attributes. */
class ScriptModule {
  attributes: ReadonlyMap<unknown, unknown> = new Map();
  __setstate__(state: unknown): void {
    if (state instanceof Map) this.attributes = state;
  }
}

/** A value of which nothing is needed. */
class Blank {
  __setstate__(): void {}
}

const STORAGES: Readonly<Record<string, FileDType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** Stands for the class of a storage in a persistent id. */
class StorageClass {
  constructor(readonly dtype: FileDType) {}
}

/** What a pickle calls or constructs by name. */
type Global = (new (...args: unknown[]) => object) | ((...args: unknown[]) => unknown);

const rebuildTensor = (storage: unknown, offset: unknown, shape: unknown, stride: unknown): TorchTensor => {
  if (!isStorage(storage) || !isCount(offset) || !isCounts(shape) || !isCounts(stride)) {
    throw new Error('a tensor is described in a way that PyTorch does not');
  }
  if (shape.length !== stride.length) throw new Error('a tensor has a stride for another shape');
  return new TorchTensor(storage, offset, shape, stride);
};

const GLOBALS: Readonly<Record<string, Global>> = {
  'collections.OrderedDict': (items?: unknown) => new Map(Array.isArray(items) ? items : []),
  'torch._utils._rebuild_tensor': rebuildTensor,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_parameter': (data: unknown) => data,
  'torch._tensor._rebuild_from_type_v2': (rebuild: unknown, _: unknown, args: unknown) => {
    if (typeof rebuild !== 'function' || !Array.isArray(args)) throw new Error('a tensor without its making');
    return rebuild(...args);
  },
};

/** Modules whose other names stand for settings, counters and the like in checkpoints of a training. */
const HARMLESS = /^(?:torch|numpy|collections|argparse|__torch__)(?:\.|$)/;

/** Of Python's own names, the containers and numbers. */
const BUILTINS = new Set([
  'set',
  'frozenset',
  'bytearray',
  'complex',
  'slice',
  'range',
  'int',
  'float',
  'bool',
]);

function resolveName(module: string, name: string): Global {
  const full = `${module}.${name}`;
  if (Object.hasOwn(GLOBALS, full)) return GLOBALS[full]!;
  if (module === 'torch' && Object.hasOwn(STORAGES, name)) {
    const known = new StorageClass(STORAGES[name]!);
    return Object.assign(() => new Blank(), { known });
  }
  if (module.startsWith('__torch__')) return ScriptModule;
  if (HARMLESS.test(module) || (/^(?:builtins|__builtin__)$/.test(module) && BUILTINS.has(name)))
    return blank;
  throw new Error(
    `asks for ${full}, which is no part of a dictionary of weights; what is malicious or holds whole Python objects is not read. ` +
      'Of a file that you trust, save the weights alone in Python: torch.save(model.state_dict(), …)',
  );
}

/** Callable, and constructible, as a pickle may do both. */
const blank: Global = function blankValue() {
  return new Blank();
};

function resolvePersistent(id: unknown): TorchStorage {
  const [kind, type, key, , elements] = Array.isArray(id) ? id : [];
  const known = typeof type === 'function' && 'known' in type ? type.known : undefined;
  if (kind !== 'storage' || typeof key !== 'string' || !isCount(elements)) {
    throw new Error(`refers to ${JSON.stringify(id)}, which is no storage of tensors`);
  }
  if (!(known instanceof StorageClass)) {
    throw new Error(
      `has a storage of a type that is not known; known are ${Object.keys(STORAGES).join(', ')}`,
    );
  }
  return { dtype: known.dtype, key, elements };
}

const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

const isStorage = (value: unknown): value is TorchStorage =>
  typeof value === 'object' && value !== null && 'key' in value && 'dtype' in value && 'elements' in value;

/**
 * The tensors of a pickle by name: of a dictionary of weights, of the one under `state_dict` in a checkpoint of a training,
 * or of a TorchScript module's parts.
 *
 * @throws Error saying what the pickle asks for or lacks
 */
export function unpickleTensors(pickle: Uint8Array): Map<string, TorchTensor> {
  const parser = new Parser({
    unpicklingTypeOfDictionary: 'Map',
    nameResolver: { resolve: resolveName },
    persistentResolver: { resolve: resolvePersistent },
  });
  const root: unknown = parser.parse(pickle);
  const tensors = new Map<string, TorchTensor>();
  collect(stateOf(root), '', tensors);
  if (tensors.size === 0) {
    throw new Error(`holds no tensors by name${root instanceof Map ? `; its keys are ${keysOf(root)}` : ''}`);
  }
  return tensors;
}

function stateOf(root: unknown): unknown {
  if (!(root instanceof Map)) return root;
  for (const key of ['state_dict', 'model_state_dict', 'model']) {
    if (root.get(key) instanceof Map) return root.get(key);
  }
  return root;
}

/** `within` are the modules on the way here: a forged file may hold a module that holds itself. */
function collect(
  value: unknown,
  prefix: string,
  into: Map<string, TorchTensor>,
  within: readonly unknown[] = [],
): void {
  if (within.includes(value)) throw new Error('has a module within itself');
  const entries = value instanceof ScriptModule ? value.attributes : value;
  if (!(entries instanceof Map)) return;
  for (const [key, item] of entries) {
    if (item instanceof TorchTensor) into.set(`${prefix}${key}`, item);
    else if (item instanceof ScriptModule) collect(item, `${prefix}${key}.`, into, [...within, value]);
  }
}

const keysOf = (map: ReadonlyMap<unknown, unknown>): string =>
  [...map.keys()].slice(0, 10).map(String).join(', ') || 'none';
