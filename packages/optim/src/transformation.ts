/**
 * The protocol of update rules: a transformation turns gradients into updates, and `chain` puts several in a row.
 * Updates are added to parameters, so a rule that descends ends with a negative factor.
 */
import { mapTree, type Tensor, zeros } from '@clipin/tensor';

/**
 * How the type of a state follows from the type of the parameters. A rule that keeps trees beside the parameters declares
 * `interface Mine extends StateKind { readonly state: MyState<this['params']> }`.
 */
export interface StateKind {
  readonly params: unknown;
  readonly state: unknown;
}

/** The kind of a state that does not depend on the parameters. */
export interface FixedState<State> extends StateKind {
  readonly state: State;
}

/** The state of this kind for parameters of this type. */
export type StateFor<Kind extends StateKind, Params> = (Kind & { readonly params: Params })['state'];

/** An update rule: two pure functions. */
export interface GradientTransformation<Kind extends StateKind> {
  /** The state before the first update: a tree, which goes through `jit` and into checkpoints. */
  init<Params>(params: Params): StateFor<Kind, Params>;
  /** Gradients (or the updates of the rule before) → updates of the same type, and the next state. */
  update<Params>(
    updates: Params,
    state: StateFor<Kind, Params>,
    params: Params,
  ): [updates: Params, state: StateFor<Kind, Params>];
}

/** The state of a rule for parameters of this type: `StateOf<typeof rule, Params>`. */
export type StateOf<Rule, Params> =
  Rule extends GradientTransformation<infer Kind> ? StateFor<Kind, Params> : never;

/** The kind of the list of the states of chained rules. */
export interface ChainState<Kinds extends readonly StateKind[]> extends StateKind {
  readonly state: { readonly [I in keyof Kinds]: StateFor<Kinds[I], this['params']> };
}

/** Rules one after another; the state is the list of theirs. */
export function chain<Kinds extends readonly StateKind[]>(
  ...rules: { readonly [I in keyof Kinds]: GradientTransformation<Kinds[I]> }
): GradientTransformation<ChainState<Kinds>> {
  // Item i of a state is of rule i's kind: TypeScript does not follow a tuple through map and reduce.
  return {
    init<Params>(params: Params) {
      return rules.map((rule) => rule.init(params)) as StateFor<ChainState<Kinds>, Params>;
    },
    update<Params>(updates: Params, state: StateFor<ChainState<Kinds>, Params>, params: Params) {
      const next: unknown[] = [];
      const result = rules.reduce<Params>((given, rule, i) => {
        const [changed, own] = rule.update(given, state[i] as StateFor<Kinds[number], Params>, params);
        next.push(own);
        return changed;
      }, updates);
      return [result, next as StateFor<ChainState<Kinds>, Params>];
    },
  };
}

/** Zeros to average gradients of a parameter in: f32, whatever the parameter is stored as. */
export const averagesOf = ({ shape, device }: Tensor): Tensor => zeros(shape, { device });

/** Parameters plus updates, of the parameters' dtype: the sum of an f16 parameter is computed in f32 and rounded. */
export const applyUpdates = <Params>(params: Params, updates: Params): Params =>
  mapTree((parameter, update) => parameter.add(update).cast(parameter.dtype), params, updates);
