/** The affine functions of scalar programs: where passes and devices look, and what they change. */
import type { Affine, Instruction } from './kernel';

/** All affine functions of a program: those of indices, loads and guards. */
export const affinesOf = (program: readonly Instruction[]): Affine[] =>
  program.flatMap((step) => {
    if (step.op === 'index') return [step.index];
    return step.op === 'load' ? [step.index, ...step.guards.map(({ value }) => value)] : [];
  });

/** The program with every affine function replaced. */
export const mapAffines = (
  program: readonly Instruction[],
  change: (affine: Affine) => Affine,
): Instruction[] =>
  program.map((step) => {
    if (step.op === 'index') return { ...step, index: change(step.index) };
    if (step.op !== 'load') return step;
    const guards = step.guards.map((guard) => ({ ...guard, value: change(guard.value) }));
    return { ...step, index: change(step.index), guards };
  });
