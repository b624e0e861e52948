/** Functions of functions: `vjp`, `valueAndGrad`, `grad`. Trees of parameters in, the same typed trees out. */
import { dtypes } from '@clipin/kernel';
import {
  activeRecorders,
  flatten,
  leaves,
  ones,
  type Tensor,
  unflatten,
  withLeaves,
  withRecorders,
} from '@clipin/tensor';
import { fresh } from './fresh';
import { applyRule, type PullBack } from './rules';
import { type Gradients, Tape } from './tape';

const pullBack: PullBack = (f, primals, gradients) => {
  const { inputs, output, tape } = runTaped((args) => f(...args), primals);
  return tape.gradients(output, gradients, inputs);
};

const rule = (entry: Parameters<typeof applyRule>[0], gradients: Gradients): Gradients =>
  applyRule(entry, gradients, pullBack);

/** Runs `f` on copies of `primals` that a new tape watches, below the tapes that listen already. */
function runTaped<R>(f: (args: Tensor[]) => R, primals: readonly Tensor[]) {
  const inputs = primals.map(fresh);
  const tape = new Tape(rule);
  for (const input of inputs) tape.watch(input);
  const output = withRecorders([...activeRecorders(), tape], () => f(inputs));
  return { inputs, output, tape };
}

function checkParameters(operation: string, tree: unknown): void {
  const wrong = leaves(tree).find(({ tensor }) => dtypes[tensor.dtype].kind !== 'float');
  if (wrong) {
    const where = wrong.path ? ` at ${wrong.path}` : '';
    throw new TypeError(
      `${operation}: ${String(wrong.tensor)}${where} cannot be differentiated; only f32 and f16 can, pass others as further arguments`,
    );
  }
}

/**
 * A function's value and its vector-Jacobian product.
 *
 * @param f - from trees of f32 or f16 tensors to a tree of tensors
 * @param primals - where
 * @returns the value, and a function from gradients of the value (a tree like it) to gradients of the primals
 */
export function vjp<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  ...primals: A
): [value: R, pullback: (gradient: R) => A] {
  checkParameters('vjp', primals);
  const flat = flatten(primals);
  const { inputs, output, tape } = runTaped((args) => f(...withLeaves(primals, args)), flat.leaves);
  const outputs = flatten(output).leaves;
  return [
    output,
    (gradient) => {
      const seeds = flatten(gradient).leaves;
      outputs.forEach((out, i) => {
        if (seeds[i]?.shape.join() !== out.shape.join() || seeds.length !== outputs.length) {
          throw new TypeError(`vjp: the gradient ${String(seeds[i])} is not like the value ${String(out)}`);
        }
      });
      return withLeaves(primals, tape.gradients(outputs, seeds, inputs));
    },
  ];
}

/** Options of `valueAndGrad`. */
export interface GradOptions {
  /** The function returns `[loss, aux]`; `aux` is handed through. */
  readonly hasAux: true;
}

/**
 * A function's value together with its gradient.
 *
 * @param f - from a tree of parameters (and anything else) to a scalar, or to `[scalar, aux]` with `hasAux`
 * @returns `(params, ...rest) → [value, gradients]`; the gradients are a tree of the parameters' type
 * @throws TypeError when the value is not an f32 scalar, or a parameter is neither f32 nor f16
 */
export function valueAndGrad<P, A extends readonly unknown[]>(
  f: (params: P, ...rest: A) => Tensor,
): (params: P, ...rest: A) => [value: Tensor, gradients: P];
export function valueAndGrad<P, A extends readonly unknown[], X>(
  f: (params: P, ...rest: A) => readonly [Tensor, X],
  options: GradOptions,
): (params: P, ...rest: A) => [value: [Tensor, X], gradients: P];
export function valueAndGrad<P, A extends readonly unknown[], X>(
  f: (params: P, ...rest: A) => Tensor | readonly [Tensor, X],
  options?: GradOptions,
): (params: P, ...rest: A) => [value: Tensor | readonly [Tensor, X], gradients: P] {
  return (params, ...rest) => {
    checkParameters('grad', params);
    const { leaves: parameters, structure } = flatten(params);
    const { inputs, output, tape } = runTaped(
      (args) => f(unflatten(structure, args) as P, ...rest),
      parameters,
    );
    // The type of `output` follows from that of `options`, by the overloads.
    const value = (options?.hasAux ? (output as readonly [Tensor, X])[0] : output) as Tensor | undefined;
    if (value?.dtype !== 'f32' || value.rank !== 0) {
      throw new TypeError(
        `grad: the function returned ${String(value)}; wants an f32 scalar, such as a sum or a mean; aux needs { hasAux: true }`,
      );
    }
    const gradients = tape.gradients([value], [ones([], { device: value.device })], inputs);
    return [output, withLeaves(params, gradients)];
  };
}

/** The gradient alone: `(params, ...rest) → gradients`. See `valueAndGrad`. */
export const grad =
  <P, A extends readonly unknown[]>(f: (params: P, ...rest: A) => Tensor): ((params: P, ...rest: A) => P) =>
  (params, ...rest) =>
    valueAndGrad(f)(params, ...rest)[1];
