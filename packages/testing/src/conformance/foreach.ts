/** Random programs over many tensors, with their data and the errors to allow. */
import type { DType, ForeachKernel, Instruction } from '@clipin/kernel';
import fc from 'fast-check';
import type { Estimate } from './estimate';
import { type BodyPick, bodies, storesOf, targetsInPlace } from './kernel-arbitraries';
import { draftProgram, type Inputs, randomBuffer } from './programs';
import type { BufferPlan, KernelCase } from './run-case';

/** How the parts read an input: each its own element by element, one element of its own, or one that all share. */
type Role = 'own' | 'ownFixed' | 'shared';

const roles = fc.constantFrom<Role>('own', 'own', 'ownFixed', 'shared');

/** Around what vectors, workgroups and blocks hold; one is larger than a block of any device. */
const lengths = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 255, 256, 257) },
  { weight: 1, arbitrary: fc.constant(5003) },
);

/** Elements of the buffer of which one is read. */
const fixedLength = 3;

interface ForeachPick {
  readonly lengths: readonly number[];
  readonly body: BodyPick;
  readonly roles: readonly Role[];
}

/** Leaves without views: inputs as they lie, constants, indices. */
const asPlainLeaves = (body: BodyPick): BodyPick => ({
  ...body,
  leaves: body.leaves.map((leaf) => ({
    ...leaf,
    kind: leaf.kind === 'gather' ? 'load' : leaf.kind,
    movements: [],
  })),
});

function buildCase({ lengths, body, roles }: ForeachPick, inPlace: boolean): KernelCase {
  const drafted: Inputs = [];
  const draft = draftProgram(drafted, [Math.max(...lengths)], body.leaves, body.steps);
  const roleOf = (input: number): Role => roles[input % roles.length] as Role;
  const sharedInputs = drafted.map((_, input) => input).filter((input) => roleOf(input) === 'shared');
  const ownInputs = drafted.map((_, input) => input).filter((input) => roleOf(input) !== 'shared');
  const order = [...sharedInputs, ...ownInputs];
  const program = draft.program.map((step): Instruction => {
    if (step.op !== 'load') return step;
    const fixed = roleOf(step.input) !== 'own';
    const index = fixed ? { offset: step.input % fixedLength, strides: [0] } : step.index;
    return { ...step, input: order.indexOf(step.input), index };
  });
  const stores = storesOf(draft, body);
  const kernel: ForeachKernel = {
    ...{ kind: 'foreach', program, stores, lengths },
    ...{ shared: sharedInputs.length, own: ownInputs.length },
  };
  const typeOf = (input: number) => (drafted[input] as BufferPlan).dtype;
  /** Other contents of the same range. */
  const planOf = (input: number, length: number, part: number): BufferPlan => {
    const { dtype, fill } = drafted[input] as BufferPlan;
    if (!fill) throw new Error('an input has contents');
    return {
      ...randomBuffer(dtype, length, fill.seed + 3 * part).plan,
      fill: { ...fill, seed: fill.seed + 3 * part },
    };
  };
  const buffers: BufferPlan[] = sharedInputs.map((input) => planOf(input, fixedLength, 0));
  for (const [part, length] of lengths.entries()) {
    for (const input of ownInputs) {
      buffers.push(planOf(input, roleOf(input) === 'own' ? length : fixedLength, part));
    }
  }
  const inputs = buffers.map((_, number) => number);
  const written = inPlace ? targetsInPlace({ ...draft, program }, stores) : [];
  const mayWrite = (input: number | undefined): input is number =>
    input !== undefined && roleOf(order[input] as number) === 'own';
  const types = stores.map((store): DType => (program[store] as Instruction).dtype);
  const outputs = lengths.flatMap((length, part) =>
    stores.map((_, i) => {
      const target = written[i];
      if (mayWrite(target)) return part * ownInputs.length + target;
      return buffers.push({ dtype: types[i] as DType, length }) - 1;
    }),
  );
  return {
    buffers,
    launches: [
      {
        ...{ kernel, inputs, outputs },
        inputTypes: [...sharedInputs.map(typeOf), ...lengths.flatMap(() => ownInputs.map(typeOf))],
        outputTypes: lengths.flatMap(() => types),
      },
    ],
    checks: outputs.map((buffer, i) => {
      const store = stores[i % stores.length] as number;
      return { buffer, error: (draft.estimates[store] as Estimate).error };
    }),
  };
}

/** One program over up to 40 tensors; with `inPlace`, into inputs of each. */
export const foreachCases = (inPlace = false): fc.Arbitrary<KernelCase> =>
  fc
    .record({
      lengths: fc.array(lengths, { minLength: 1, maxLength: 40, size: 'max' }),
      body: bodies(inPlace ? 2 : 1).map(asPlainLeaves),
      roles: inPlace
        ? fc.constant<Role[]>(['own', 'own', 'shared'])
        : fc.array(roles, { minLength: 5, maxLength: 5 }),
    })
    .map((pick) => buildCase(pick, inPlace));
