/** Where a user takes the derivative into their own hands: `stopGradient`, `customVjp`, `elementwise`, `checkpoint`. */
import { sameShape } from '@clipin/kernel';
import {
  activeRecorders,
  flatten,
  mapTree,
  ones,
  type Recorder,
  type Tensor,
  withLeaves,
  withRecorders,
  zerosLike,
} from '@clipin/tensor';
import { fresh } from './fresh';
import { Tape } from './tape';
import { vjp } from './transform';

/** The same values, through which no gradient flows. */
export const stopGradient = <T>(tree: T): T => withRecorders([], () => mapTree((x) => fresh(x), tree));

/**
 * A function with a derivative rule of its own.
 *
 * @param f - returns the value and a function from gradients of the value (a tree like it) to gradients of the arguments
 *   (trees like them)
 */
export function customVjp<A extends readonly unknown[], R>(
  f: (...args: A) => readonly [value: R, pullback: (gradient: R) => A],
): (...args: A) => R {
  return (...args) => {
    // Tapes see what f does, so that outer ones can differentiate what the pullback keeps; the value is cut off from it.
    const [value, pullback] = f(...args);
    return withRule('customVjp', args, value, pullback);
  };
}

/**
 * The same function, known to work element by element: its derivative is one factor for each element, `f′(x)`. That is what the
 * backward pass keeps, instead of what `f` computes on its way; a product before `f` stores it with its result.
 *
 * @param f - the result has the shape of `x`, and each element depends on the same element of `x` alone
 * @throws TypeError when the result has another shape
 * @throws Error when `f` reads something else that a gradient is taken of
 */
export const elementwise =
  (f: (x: Tensor) => Tensor): ((x: Tensor) => Tensor) =>
  (x) => {
    const tapes = activeTapes();
    if (tapes.length === 0) return f(x);
    const value = withRecorders([argumentsOnly('elementwise', tapes, [x], 'do without elementwise')], () =>
      f(x),
    );
    if (!sameShape(value.shape, x.shape)) {
      throw new TypeError(
        `elementwise: the function made ${String(value)} of ${String(x)}; wants the same shape`,
      );
    }
    return withRule('elementwise', [x], value, (gradient): [Tensor] => {
      const [factor] = vjp(f, x)[1](ones(x.shape, { device: x.device }));
      return [gradient.mul(factor)];
    });
  };

/**
 * The same function, which keeps nothing for the backward pass but its arguments, and is computed again there.
 * Chen et al. 2016, "Training deep nets with sublinear memory cost".
 *
 * @param f - everything that a gradient is taken of must be among its arguments
 * @throws Error when it is not
 */
export function checkpoint<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    const tapes = activeTapes();
    if (tapes.length === 0) return f(...args);
    const value = withRecorders([argumentsOnly('checkpoint', tapes, args, 'pass it as an argument')], () =>
      f(...args),
    );
    return withRule('checkpoint', args, value, (gradient) => vjp(f, ...args)[1](gradient));
  };
}

const activeTapes = (): Tape[] => activeRecorders().filter((recorder) => recorder instanceof Tape);

/** Refuses tensors that are watched but no arguments: their gradients would be lost. */
function argumentsOnly(
  name: string,
  tapes: readonly Tape[],
  args: readonly unknown[],
  remedy: string,
): Recorder {
  const given = new Set(flatten(args).leaves);
  return {
    record({ inputs }) {
      const lost = inputs.find((input) => !given.has(input) && tapes.some((tape) => tape.watches(input)));
      if (!lost) return;
      throw new Error(
        `${name}: the function closes over ${String(lost)}, which a gradient is taken of; ${remedy}`,
      );
    },
  };
}

function withRule<A extends readonly unknown[], R>(
  name: string,
  args: A,
  value: R,
  pullback: (gradient: R) => A,
): R {
  const inputs = flatten(args).leaves;
  const result = stopGradient(value);
  const outputs = flatten(result).leaves;
  for (const tape of activeTapes()) {
    tape.note({
      name,
      inputs,
      outputs,
      pullBack: (gradients) => {
        const seeds = outputs.map((output, i): Tensor => gradients[i] ?? zerosLike(output));
        return flatten(pullback(withLeaves(result, seeds))).leaves;
      },
    });
  }
  return result;
}
