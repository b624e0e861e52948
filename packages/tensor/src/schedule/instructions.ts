/** A scalar program under construction, in which each distinct instruction stands once. */
import type { Instruction } from '@clipin/kernel';

/** What a load becomes when its program is taken over: a load of another input, or a value that is there already. */
export type Source = { readonly input: number } | { readonly value: number };

/** Instructions in order, found again by what they say. */
export class InstructionList {
  readonly instructions: Instruction[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of an instruction; appended if it is new. */
  emit(instruction: Instruction): number {
    // JSON has no NaN, infinities and −0, which constants may be.
    const key =
      instruction.op === 'constant'
        ? `${instruction.dtype} ${Object.is(instruction.value, -0) ? '-0' : instruction.value}`
        : JSON.stringify(instruction);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.instructions.push(instruction) - 1;
    this.#numbers.set(key, number);
    return number;
  }

  /** Takes over a program; gives the new number of each of its instructions. */
  append(program: readonly Instruction[], sourceOf: (input: number) => Source): number[] {
    const numbers: number[] = [];
    const renamed = (number: number) => numbers[number] as number;
    for (const step of program) numbers.push(this.#take(step, renamed, sourceOf));
    return numbers;
  }

  #take(step: Instruction, renamed: (number: number) => number, sourceOf: (input: number) => Source): number {
    if (step.op === 'constant' || step.op === 'index' || step.op === 'reduced') return this.emit(step);
    if (step.op !== 'load') return this.emit({ ...step, args: step.args.map(renamed) });
    const source = sourceOf(step.input);
    if ('value' in source) return source.value;
    const { gather } = step;
    return this.emit({
      ...step,
      ...source,
      ...(gather && { gather: { ...gather, at: renamed(gather.at) } }),
    });
  }
}
