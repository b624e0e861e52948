/** All benchmarks, by name. A new one is a file beside this one and a line here. */
import { aro } from './aro';
import { cocoOrder, flickr30kOrder } from './aro-order';
import { classificationSuites } from './image-classification';
import { captionedShards, coco, flickr30k } from './image-retrieval';
import { dci, dciLong, dciShort, shareGpt4v, urban } from './long-captions';
import { mmvpVlm } from './mmvp-vlm';
import { spec } from './spec';
import { sugarCrepe } from './sugarcrepe';
import { type Suite, SuiteError } from './suite';
import { winoground } from './winoground';

/** Every suite, in the order of the help and of reports. */
export const suites: readonly Suite[] = [
  mmvpVlm,
  sugarCrepe,
  winoground,
  aro,
  cocoOrder,
  flickr30kOrder,
  spec,
  ...classificationSuites,
  coco,
  flickr30k,
  shareGpt4v,
  urban,
  dci,
  dciLong,
  dciShort,
  captionedShards,
];

/**
 * Suites by their names, in the order of the names, each once.
 *
 * @throws SuiteError with all names, if one is none of them
 */
export function suitesNamed(names: readonly string[]): readonly Suite[] {
  const found = [...new Set(names)].map(
    (name) => [name, suites.find((suite) => suite.name === name)] as const,
  );
  const unknown = found.flatMap(([name, suite]) => (suite ? [] : [`"${name}"`]));
  if (unknown.length > 0 || found.length === 0) {
    const what = unknown.length > 0 ? `there is no suite ${unknown.join(', ')}` : 'name at least one suite';
    throw new SuiteError(`${what}; there are ${suites.map(({ name }) => name).join(', ')}`);
  }
  return found.flatMap(([, suite]) => (suite ? [suite] : []));
}

/** What there is, with the files that each expects below its directory. */
export const suiteList = (): string =>
  suites.map(({ name, title, layout }) => `${name}  (${title})\n    ${layout}`).join('\n');
