/**
 * The tape: notes each primitive that touches a watched tensor while a function runs, and walks back over the notes.
 * Knows nothing of particular derivatives; those are `rules.ts`. What the walk computes are ordinary operations, which
 * outer tapes record in turn: that is how tapes nest.
 */
import { dtypes } from '@clipin/kernel';
import { type Entry, operationName, type Recorder, type Tensor, zerosLike } from '@clipin/tensor';

/** Gradients of an operation's inputs, from those of its outputs; `undefined` where none flows. */
export type Gradients = readonly (Tensor | undefined)[];

/** A derivative rule: gradients of the inputs of `entry`, from those of its outputs. */
export type Rule = (entry: Entry, gradients: Gradients) => Gradients;

interface Note {
  readonly name: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly pullBack: (gradients: Gradients) => Gradients;
}

/** Records what depends on watched tensors. */
export class Tape implements Recorder {
  readonly #watched = new Set<Tensor>();
  readonly #notes: Note[] = [];

  constructor(readonly rule: Rule) {}

  /** Follows a tensor from now on. */
  watch(tensor: Tensor): void {
    this.#watched.add(tensor);
  }

  /** Whether gradients are to flow through this tensor. */
  watches(tensor: Tensor): boolean {
    return this.#watched.has(tensor);
  }

  record(entry: Entry): void {
    const { operation, inputs, outputs } = entry;
    const name = operationName(operation);
    this.note({ name, inputs, outputs, pullBack: (gradients) => this.rule(entry, gradients) });
  }

  /** Records something with a derivative of its own. */
  note(note: Note): void {
    if (!note.inputs.some((input) => this.#watched.has(input))) return;
    this.#notes.push(note);
    for (const output of note.outputs) if (dtypes[output.dtype].kind === 'float') this.#watched.add(output);
  }

  /**
   * Gradients of `Σ outputs · seeds` with respect to watched tensors, of their dtypes; zeros where nothing depends on one.
   * Those of an f16 tensor are added up in f32, and rounded once.
   */
  gradients(outputs: readonly Tensor[], seeds: readonly Tensor[], targets: readonly Tensor[]): Tensor[] {
    const sums = new Map<Tensor, Tensor>();
    const sumOf = (tensor: Tensor) => sums.get(tensor)?.cast(tensor.dtype);
    const accumulate = (tensor: Tensor, gradient: Tensor) => {
      const sum = sums.get(tensor);
      sums.set(tensor, sum ? sum.add(gradient) : gradient);
    };
    outputs.forEach((output, i) => {
      accumulate(output, seeds[i] as Tensor);
    });
    for (let i = this.#notes.length - 1; i >= 0; i--) {
      const { name, inputs, outputs: results, pullBack } = this.#notes[i] as Note;
      const known = results.map(sumOf);
      if (known.every((gradient) => gradient === undefined)) continue;
      const gradients = pullBack(known);
      inputs.forEach((input, position) => {
        const gradient = gradients[position];
        if (!gradient || !this.#watched.has(input)) return;
        checkGradient(name, input, gradient);
        accumulate(input, gradient);
      });
    }
    return targets.map((target) => sumOf(target) ?? zerosLike(target));
  }
}

/** Cheap, and finds most mistakes in rules: a gradient looks like what it is the gradient of. */
function checkGradient(name: string, input: Tensor, gradient: Tensor): void {
  const fits = gradient.dtype === input.dtype || (gradient.dtype === 'f32' && input.dtype === 'f16');
  if (!fits || gradient.shape.join() !== input.shape.join()) {
    throw new Error(`the derivative rule of ${name} gave ${String(gradient)} for an input ${String(input)}`);
  }
}
