/**
 * Models in the ONNX format, under construction: nodes, weights, inputs, outputs and metadata, and their encoding, as much of
 * `onnx.proto` (https://github.com/onnx/onnx) as that needs. What a graph computes, and where its file goes, is not here.
 */
import protobuf from 'protobufjs';

/** The numbers of the fields are those of `onnx.proto`. */
const proto = `
syntax = "proto3";
message Entry { string key = 1; string value = 2; }
message Attribute { string name = 1; float f = 2; int64 i = 3; repeated int64 ints = 8; int32 type = 20; }
message Node {
  repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4; repeated Attribute attribute = 5;
}
message Tensor {
  repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9;
  repeated Entry external_data = 13; int32 data_location = 14;
}
message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } }
message Shape { repeated Dimension dim = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Type { TensorType tensor_type = 1; }
message ValueInfo { string name = 1; Type type = 2; }
message Graph {
  repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
  repeated ValueInfo input = 11; repeated ValueInfo output = 12;
}
message OperatorSet { string domain = 1; int64 version = 2; }
message Model {
  int64 ir_version = 1; string producer_name = 2; Graph graph = 7; repeated OperatorSet opset_import = 8;
  repeated Entry metadata_props = 14;
}`;
const modelType = protobuf.parse(proto, { keepCase: true }).root.lookupType('Model');

/** Of `TensorProto.DataType`. */
const dataTypes: Readonly<Record<OnnxDType, number>> = { f32: 1, i64: 7 };
const attributeTypes = { f: 1, i: 2, ints: 7 } as const;
/** The version of the format that came with operator set 17. */
const irVersion = 8;
/** `TensorProto.DataLocation.EXTERNAL` */
const external = 1;

/** Element types of inputs and outputs. */
export type OnnxDType = 'f32' | 'i64';

/** A shape, in which a name stands for a size that each run may choose: `['batch', 3, 224, 224]`. */
export type OnnxShape = readonly (number | string)[];

/** Of an operator: whole numbers, except those that are marked as float. */
export type OnnxAttributes = Readonly<
  Record<string, number | readonly number[] | { readonly float: number }>
>;

/** Numbers that a model contains, read when it is written; a `Tensor` is one. */
export interface OnnxWeight {
  readonly shape: readonly number[];
  data(): ArrayLike<number> | Promise<ArrayLike<number>>;
}

/** A weight under its name. */
export interface NamedWeight {
  readonly name: string;
  readonly weight: OnnxWeight;
}

/** Where the numbers of a weight are: with the model, or in a file beside it. */
export type StoredWeight =
  | { readonly bytes: Uint8Array }
  | { readonly file: string; readonly offset: number; readonly length: number };

/** Options of {@link OnnxGraph}. */
export interface OnnxGraphOptions {
  /** Of the graph. Default: `main`. */
  readonly name?: string;
  /** Version of the standard operators. Default: 17, the first with LayerNormalization. */
  readonly operatorSet?: number;
  /** What weights are called; others are counted. */
  readonly names?: ReadonlyMap<OnnxWeight, string>;
}

/** A graph under construction; values are known by name. */
export class OnnxGraph {
  readonly #name: string;
  readonly #operatorSet: number;
  readonly #nodes: object[] = [];
  readonly #constants: object[] = [];
  readonly #names: ReadonlyMap<OnnxWeight, string>;
  readonly #weights = new Map<OnnxWeight, string>();
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];
  readonly #metadata: object[] = [];
  #count = 0;

  constructor({ name = 'main', operatorSet = 17, names = new Map() }: OnnxGraphOptions = {}) {
    this.#name = name;
    this.#names = names;
    this.#operatorSet = operatorSet;
  }

  /** A value that a run is given. */
  input(name: string, shape: OnnxShape, dtype: OnnxDType = 'f32'): string {
    this.#inputs.push(valueInfo(name, dtype, shape));
    return name;
  }

  /** A weight of f32, part of the model; once, however often it is named. */
  weight(weight: OnnxWeight, name: string = this.#names.get(weight) ?? this.#fresh('weight')): string {
    const known = this.#weights.get(weight);
    if (known === undefined) this.#weights.set(weight, name);
    return known ?? name;
  }

  /** One number, f32. */
  number(value: number): string {
    return this.#constant(dataTypes.f32, [], new Float32Array([value]));
  }

  /** Whole numbers such as a shape, i64: a list, or a single one as a scalar. */
  integers(values: number | readonly number[]): string {
    const list = typeof values === 'number' ? [values] : values;
    const dims = typeof values === 'number' ? [] : [values.length];
    return this.#constant(dataTypes.i64, dims, BigInt64Array.from(list, BigInt));
  }

  #constant(data_type: number, dims: readonly number[], data: Float32Array | BigInt64Array): string {
    const name = this.#fresh('constant');
    this.#constants.push({ name, data_type, dims, raw_data: new Uint8Array(data.buffer) });
    return name;
  }

  /** An operator's result; `''` stands for an optional input that is left out. */
  node(op_type: string, input: readonly string[], attributes: OnnxAttributes = {}): string {
    const name = this.#fresh(op_type);
    this.#nodes.push({ op_type, name, input, output: [name], attribute: attributesOf(attributes) });
    return name;
  }

  /** Gives a value to those who run the model, under a name of its own. */
  output(name: string, value: string, shape: OnnxShape): void {
    this.#nodes.push({ op_type: 'Identity', name, input: [value], output: [name] });
    this.#outputs.push(valueInfo(name, 'f32', shape));
  }

  /** A word about the model, for those who load it. */
  metadata(key: string, value: string): void {
    this.#metadata.push({ key, value });
  }

  /** The weights, in the order in which they came. */
  get weights(): readonly NamedWeight[] {
    return [...this.#weights].map(([weight, name]) => ({ name, weight }));
  }

  /** The model as bytes. `stored` says where the numbers of each weight are. */
  encode(stored: (name: string) => StoredWeight): Uint8Array {
    const weights = [...this.#weights].map(([{ shape }, name]) => ({
      ...{ name, data_type: dataTypes.f32, dims: shape },
      ...placeOf(stored(name)),
    }));
    const graph = {
      name: this.#name,
      node: this.#nodes,
      initializer: [...this.#constants, ...weights],
      input: this.#inputs,
      output: this.#outputs,
    };
    const model = {
      ir_version: irVersion,
      producer_name: 'clip-in',
      graph,
      opset_import: [{ domain: '', version: this.#operatorSet }],
      metadata_props: this.#metadata,
    };
    return modelType.encode(modelType.fromObject(model)).finish();
  }

  /** The model as bytes, weights included; for models of less than 2 GiB, which is the most that the format allows. */
  async bytes(): Promise<Uint8Array> {
    const found = new Map<string, Uint8Array>();
    for (const named of this.weights) found.set(named.name, await weightBytes(named));
    return this.encode((name) => ({ bytes: found.get(name) as Uint8Array }));
  }

  #fresh(kind: string): string {
    return `${kind}_${this.#count++}`;
  }
}

/**
 * The numbers of a weight as f32; the format wants them little-endian, as Node's platforms have them.
 *
 * @throws Error naming the weight when its numbers do not fill its shape
 */
export async function weightBytes({ name, weight }: NamedWeight): Promise<Uint8Array> {
  const read = await weight.data();
  const data = read instanceof Float32Array ? read : Float32Array.from(read);
  const wanted = weight.shape.reduce((product, size) => product * size, 1);
  if (data.length !== wanted) {
    throw new Error(`OnnxGraph: "${name}" of shape [${weight.shape.join(', ')}] has ${data.length} numbers`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function attributesOf(attributes: OnnxAttributes): object[] {
  return Object.entries(attributes).map(([name, value]) => {
    if (typeof value === 'number') return { name, i: value, type: attributeTypes.i };
    if ('float' in value) return { name, f: value.float, type: attributeTypes.f };
    return { name, ints: value, type: attributeTypes.ints };
  });
}

function placeOf(stored: StoredWeight): object {
  if ('bytes' in stored) return { raw_data: stored.bytes };
  const { file, offset, length } = stored;
  const entries = { location: file, offset: String(offset), length: String(length) };
  return {
    data_location: external,
    external_data: Object.entries(entries).map(([key, value]) => ({ key, value })),
  };
}

const valueInfo = (name: string, dtype: OnnxDType, shape: OnnxShape) => ({
  name,
  type: { tensor_type: { elem_type: dataTypes[dtype], shape: { dim: shape.map(dimension) } } },
});

const dimension = (size: number | string) =>
  typeof size === 'number' ? { dim_value: size } : { dim_param: size };
