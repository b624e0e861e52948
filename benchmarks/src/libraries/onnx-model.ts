/**
 * Models in the ONNX format, as much of it as the works need: nodes, weights, inputs and outputs of f32 and i64. The numbers of
 * the fields are those of `onnx.proto` (https://github.com/onnx/onnx).
 */
import protobuf from 'protobufjs';

const proto = `
syntax = "proto3";
message Attribute { string name = 1; float f = 2; int64 i = 3; repeated int64 ints = 8; int32 type = 20; }
message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; }
message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
message Dimension { int64 dim_value = 1; }
message Shape { repeated Dimension dim = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Type { TensorType tensor_type = 1; }
message ValueInfo { string name = 1; Type type = 2; }
message Graph {
  repeated Node node = 1; string name = 2; repeated Tensor initializer = 5;
  repeated ValueInfo input = 11; repeated ValueInfo output = 12;
}
message OperatorSet { string domain = 1; int64 version = 2; }
message Model { int64 ir_version = 1; Graph graph = 7; repeated OperatorSet opset_import = 8; }`;
const modelType = protobuf.parse(proto, { keepCase: true }).root.lookupType('Model');

const [f32, i64] = [1, 7]; // TensorProto.DataType
const attributeTypes = { f: 1, i: 2, ints: 7 } as const;
/** With Gelu, LayerNormalization and today's Softmax. */
const [irVersion, operatorSet] = [9, 20];

/** Of an operator: whole numbers, except those that are marked as float. */
export type Attributes = Readonly<Record<string, number | readonly number[] | { readonly float: number }>>;

/** A graph under construction; values are known by name. */
export class OnnxGraph {
  private readonly nodes: object[] = [];
  private readonly weights: object[] = [];
  private readonly inputs: object[] = [];
  private count = 0;

  /** A value that a run is given. */
  input(name: string, shape: readonly number[], dtype: 'f32' | 'i64' = 'f32'): string {
    this.inputs.push(valueInfo(name, dtype === 'f32' ? f32 : i64, shape));
    return name;
  }

  /** A weight, part of the model. */
  weight(data: Float32Array, shape: readonly number[]): string {
    return this.constant(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), f32, shape);
  }

  /** Whole numbers, such as a shape. */
  integers(values: readonly number[]): string {
    return this.constant(new Uint8Array(BigInt64Array.from(values, BigInt).buffer), i64, [values.length]);
  }

  private constant(raw_data: Uint8Array, data_type: number, dims: readonly number[]): string {
    const name = this.fresh();
    this.weights.push({ name, data_type, dims, raw_data });
    return name;
  }

  /** An operator's result. */
  node(op_type: string, input: readonly string[], attributes: Attributes = {}): string {
    const name = this.fresh();
    const attribute = Object.entries(attributes).map(([key, value]) => {
      if (typeof value === 'number') return { name: key, i: value, type: attributeTypes.i };
      if ('float' in value) return { name: key, f: value.float, type: attributeTypes.f };
      return { name: key, ints: value, type: attributeTypes.ints };
    });
    this.nodes.push({ op_type, input, output: [name], attribute });
    return name;
  }

  private fresh(): string {
    return `v${this.count++}`;
  }

  /** The model as bytes, whose result is this value. */
  model(result: string, shape: readonly number[]): Uint8Array {
    const graph = {
      name: 'benchmark',
      node: this.nodes,
      initializer: this.weights,
      input: this.inputs,
      output: [valueInfo(result, f32, shape)],
    };
    const model = { ir_version: irVersion, graph, opset_import: [{ domain: '', version: operatorSet }] };
    return modelType.encode(modelType.fromObject(model)).finish();
  }
}

const valueInfo = (name: string, elem_type: number, shape: readonly number[]) => ({
  name,
  type: { tensor_type: { elem_type, shape: { dim: shape.map((dim_value) => ({ dim_value })) } } },
});
