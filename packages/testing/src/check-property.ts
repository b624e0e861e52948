/** Property tests with a fixed seed whose cases are counted, so that a run can say how many it tried. */
import fc from 'fast-check';
import { TestRunner } from 'vitest';

declare module 'vitest' {
  interface TaskMeta {
    /** Properties checked by this test. */
    properties?: number;
    /** Cases that those properties were tried on. */
    propertyCases?: number;
  }
}

const defaultSeed = 20261123;

/**
 * Checks a fast-check property and counts its cases in the test that runs it.
 *
 * The seed is fixed, so every run tries the same cases; `CLIPIN_PROPERTY_SEED=<integer>` tries others. A failure prints
 * the seed, the path and the smallest counterexample found. `await` it when the property is asynchronous.
 *
 * A predicate with `expect` needs braces: what an expectation returns is neither `undefined` nor `true`.
 *
 * @param name what the property says, put before the report of a failure; the name of the test says it otherwise
 * @throws when the property fails
 */
export function checkProperty<T>(property: fc.IProperty<T>, params?: fc.Parameters<T>): void;
export function checkProperty<T>(property: fc.IAsyncProperty<T>, params?: fc.Parameters<T>): Promise<void>;
export function checkProperty<T>(name: string, property: fc.IProperty<T>, params?: fc.Parameters<T>): void;
export function checkProperty<T>(
  name: string,
  property: fc.IAsyncProperty<T>,
  params?: fc.Parameters<T>,
): Promise<void>;
export function checkProperty<T>(...args: Unnamed<T> | [name: string, ...Unnamed<T>]): void | Promise<void> {
  const name = typeof args[0] === 'string' ? args[0] : undefined;
  const [property, params] = (name === undefined ? args : args.slice(1)) as Unnamed<T>;
  const result = fc.check(property, { seed: seedOfRun(), ...params });
  return result instanceof Promise ? result.then((details) => settle(name, details)) : settle(name, result);
}

type Unnamed<T> = [property: fc.IRawProperty<T>, params?: fc.Parameters<T>];

function seedOfRun(): number {
  const text = process.env.CLIPIN_PROPERTY_SEED;
  if (text === undefined) return defaultSeed;
  const seed = Number(text);
  if (!Number.isInteger(seed)) throw new Error(`CLIPIN_PROPERTY_SEED must be an integer, got '${text}'`);
  return seed;
}

function settle<T>(name: string | undefined, details: fc.RunDetails<T>): void {
  countCases(details.numRuns);
  if (!details.failed) return;
  const report = fc.defaultReportMessage(details) ?? 'Property failed';
  throw new Error(name === undefined ? report : `${name}: ${report}`, { cause: details.errorInstance });
}

function countCases(cases: number): void {
  const meta = TestRunner.getCurrentTest()?.meta;
  if (meta === undefined) return;
  meta.properties = (meta.properties ?? 0) + 1;
  meta.propertyCases = (meta.propertyCases ?? 0) + cases;
}
