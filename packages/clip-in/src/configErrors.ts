/**
 * Explains what is wrong with a configuration: the path of the setting, the value that came, what would fit, and for a
 * misspelt name the nearest known one. What fits is read from the JSON schema, so it is said in one place only.
 */
import type { z } from 'zod';

/** The part of a JSON schema that a configuration uses. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly (string | number)[];
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly prefixItems?: readonly SchemaNode[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One line for each mistake, in the order in which they were found. */
export function explain(issues: readonly Issue[], input: unknown, schema: SchemaNode): string[] {
  return issues.flatMap((issue) => explainAt(issue, issue.path, input, schema));
}

function explainAt(issue: Issue, path: Path, input: unknown, schema: SchemaNode): string[] {
  const value = valueAt(input, path);
  const node = nodeAt(schema, path);
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(node?.properties ?? {});
    return issue.keys.map(
      (key) => `${format([...path, key])}: there is no such setting${suggest(key, known)}`,
    );
  }
  if (issue.code === 'invalid_union' && isObject(value)) {
    // An object came, so it is the alternative with properties that was meant.
    const meant = issue.errors.find((errors) =>
      errors.some((error) => error.path.length > 0 || error.code === 'unrecognized_keys'),
    );
    if (meant) return meant.flatMap((error) => explainAt(error, [...path, ...error.path], input, schema));
  }
  if (issue.code === 'custom') return [`${format(path)}: ${issue.message}`];
  const fits = node ? `needs ${describe(node)}` : issue.message;
  if (value === undefined) return [`${format(path)}: is missing; ${fits}`];
  const near = typeof value === 'string' && node?.enum ? nearest(value, node.enum.map(String)) : undefined;
  return [
    `${format(path)}: got ${JSON.stringify(value)}; ${fits}${near === undefined ? '' : `; did you mean "${near}"?`}`,
  ];
}

/** What would fit, in words. */
function describe(node: SchemaNode): string {
  if (node.enum) return `one of ${node.enum.join(', ')}`;
  if (node.anyOf) return node.anyOf.map(describe).join(' or ');
  if (node.properties) return `settings in braces (${Object.keys(node.properties).join(', ')})`;
  if (node.prefixItems)
    return `a list of ${node.prefixItems.length}: ${node.prefixItems.map(describe).join('; ')}`;
  if (node.items) return `a list with at least one element, each ${describe(node.items)}`;
  if (node.type === 'integer' || node.type === 'number')
    return `${node.type === 'integer' ? 'a whole number' : 'a number'}${range(node)}`;
  const names: Readonly<Record<string, string>> = {
    boolean: 'true or false',
    string: 'a text that is not empty',
    null: 'null',
  };
  return names[node.type ?? ''] ?? node.type ?? 'another value';
}

function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: SchemaNode): string {
  const limits = [
    minimum !== undefined && Number.isFinite(minimum) && minimum > Number.MIN_SAFE_INTEGER
      ? ` from ${minimum} up`
      : '',
    exclusiveMinimum !== undefined ? ` above ${exclusiveMinimum}` : '',
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? ` to ${maximum}` : '',
    exclusiveMaximum !== undefined ? ` below ${exclusiveMaximum}` : '',
  ];
  return limits.join('').replace(/ up (to|below)/, ' $1');
}

function suggest(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length === 0 ? '' : `; there are ${known.join(', ')}`;
}

/** The known name that a typing mistake would most likely have made this one from. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const wanted = plain(name);
  const ranked = known
    .map((candidate) => ({ candidate, away: distance(wanted, plain(candidate)) }))
    .sort((a, b) => a.away - b.away);
  const [best] = ranked;
  return best && best.away <= Math.ceil(wanted.length * 0.4) ? best.candidate : undefined;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_ ]/g, '');

/** Levenshtein's distance: insertions, deletions and substitutions from one to the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

const isObject = (value: unknown): value is Record<PropertyKey, unknown> =>
  typeof value === 'object' && value !== null;

const valueAt = (input: unknown, path: Path): unknown =>
  path.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), input);

function nodeAt(schema: SchemaNode, path: Path): SchemaNode | undefined {
  return path.reduce<SchemaNode | undefined>((node, key) => {
    const alternatives = node ? [node, ...(node.anyOf ?? [])] : [];
    const parts = alternatives.map(
      (one) => one.properties?.[String(key)] ?? one.prefixItems?.[Number(key)] ?? one.items,
    );
    return parts.find((part) => part !== undefined);
  }, schema);
}

const format = (path: Path): string => (path.length === 0 ? 'the configuration' : path.map(String).join('.'));
