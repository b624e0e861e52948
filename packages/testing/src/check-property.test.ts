import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkProperty } from './check-property';

test('counts the cases of every property of a test', ({ task }) => {
  checkProperty(fc.property(fc.integer(), () => true));
  checkProperty(
    'named',
    fc.property(fc.integer(), () => true),
    { numRuns: 7 },
  );
  expect(task.meta.properties).toBe(2);
  expect(task.meta.propertyCases).toBe(107);
});

test('counts and awaits asynchronous properties', async ({ task }) => {
  await checkProperty(fc.asyncProperty(fc.integer(), async () => true));
  expect(task.meta.propertyCases).toBe(100);
  const failing = checkProperty(fc.asyncProperty(fc.nat(), async (n) => n < 5));
  await expect(failing).rejects.toThrow('Counterexample: [5]');
});

test('a failure names the property, the seed, the counterexample and its cause', () => {
  const small = fc.property(fc.nat(), (n) => {
    expect(n).toBeLessThan(5);
  });
  expect(() => checkProperty('small', small, { seed: 3 })).toThrow(
    /^small: Property failed after \d+ tests\n\{ seed: 3,[\s\S]*Counterexample: \[5\]/,
  );
});

test('tries the same cases every time', () => {
  const casesTried = () => {
    const seen: number[] = [];
    checkProperty(fc.property(fc.integer(), (n) => void seen.push(n)));
    return seen;
  };
  expect(casesTried()).toEqual(casesTried());
});
