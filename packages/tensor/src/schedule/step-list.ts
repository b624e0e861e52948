/** Steps by their places, with who makes and who reads each node: what passes need that put two steps into one. */
import type { Node } from '../node';
import type { Step } from './build';

/** Steps in the order in which they run; a step that went into another leaves its place empty. */
export class StepList<T extends { readonly step: Step }> {
  private readonly entries: (T | undefined)[] = [];
  private readonly makers = new Map<Node, number>();
  private readonly readers = new Map<Node, Set<number>>();

  constructor(entries: readonly T[]) {
    entries.forEach((entry, place) => {
      this.put(entry, place);
    });
  }

  /** Number of places, empty ones included. */
  get length(): number {
    return this.entries.length;
  }

  /** What runs at a place. */
  at(place: number): T | undefined {
    return this.entries[place];
  }

  /** The place where a node is computed; −1 of a leaf. */
  placeOf(node: Node): number {
    return this.makers.get(node) ?? -1;
  }

  /** The places where a node is read. */
  readersOf(node: Node): readonly number[] {
    return [...(this.readers.get(node) ?? [])];
  }

  /** Whether a step reads a node. */
  isRead(node: Node): boolean {
    return (this.readers.get(node)?.size ?? 0) > 0;
  }

  /** Puts one step in the place of some. */
  replace(old: readonly number[], place: number, joined: T): void {
    for (const at of old) {
      for (const input of this.entries[at]?.step.inputs ?? []) this.readers.get(input)?.delete(at);
      this.entries[at] = undefined;
    }
    this.put(joined, place);
  }

  /** The steps that are left, in order. */
  steps(): Step[] {
    return this.entries.flatMap((entry) => (entry ? [entry.step] : []));
  }

  private put(entry: T, place: number): void {
    const { inputs, outputs } = entry.step;
    this.entries[place] = entry;
    for (const output of outputs) this.makers.set(output, place);
    for (const input of inputs) this.readers.set(input, (this.readers.get(input) ?? new Set()).add(place));
  }
}
