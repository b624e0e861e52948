/** The protocol of a layer, and the two helpers with which layers are written and composed. */
import { type Key, splitKey } from '@clipin/tensor';

/** Something that makes its parameters from a random key. */
export interface Initializable<Params> {
  /** New parameters. The same key gives the same parameters. */
  init(key: Key): Params;
}

/** A layer: how its parameters are made, and what it computes with them. It holds no parameters itself. */
export interface Layer<Params, Inputs extends readonly unknown[], Output> extends Initializable<Params> {
  /** The output for these parameters and inputs; a pure function. */
  apply(params: Params, ...inputs: Inputs): Output;
}

/** The type of a layer's parameters: `ParamsOf<typeof encoder>`. */
export type ParamsOf<L> = L extends Initializable<infer Params> ? Params : never;

/** Types of the parameters of several layers, by name. */
export type ParamsOfEach<L> = { [Name in keyof L]: ParamsOf<L[Name]> };

/** A layer whose types follow from its two functions; it fits `Layer` of the same types. */
export const layer = <Params, Apply extends (params: Params, ...inputs: never) => unknown>(
  definition: Initializable<Params> & { readonly apply: Apply },
): Initializable<Params> & { readonly apply: Apply } => definition;

/** Parameters of several layers under their names, each from a key of its own. */
export function initEach<L extends Readonly<Record<string, Initializable<unknown>>>>(
  key: Key,
  layers: L,
): ParamsOfEach<L> {
  const names = Object.keys(layers);
  const keys = splitKey(key, names.length);
  const made = names.map((name, i) => [name, layers[name]!.init(keys[i]!)]);
  // One entry for each name, made by the layer of that name.
  return Object.fromEntries(made) as ParamsOfEach<L>;
}
