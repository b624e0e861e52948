/** `clip-in eval MODEL --suite …`: published benchmarks, from a directory of their files to figures beside the published ones. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { version } from '../../package.json';
import { type Suite, SuiteError } from '../benchmarks/suite';
import { suitesNamed } from '../benchmarks/suites';
import { createEmbedder, type Embedder } from '../evaluation/embedder';
import {
  type EvaluationResults,
  formatFigure,
  resultsJson,
  resultsMarkdown,
  type SuiteFailure,
  type TimedResult,
} from '../evaluation/results';
import { type RunSuiteOptions, runSuite } from '../evaluation/run-suite';
import { formatDuration, type Progress, startProgress } from '../progress';
import { evaluationReport } from '../report/evaluation-report';
import { loadNamed } from '../use/load-model';
import type { Started } from './shared';

/** Options of `clip-in eval --suite`. */
export interface EvalSuitesOptions extends Started {
  /** As `--model` of other commands. */
  readonly model: string;
  /** Names of suites. */
  readonly suites: readonly string[];
  /** Holds a directory for each suite, of its name; or is the directory of one. */
  readonly data: string;
  /** For results.json, results.md and report.html. */
  readonly out: string;
  /** Where embeddings are kept. */
  readonly cache: string;
}

/** Runs the suites, one after another; writes what there is after each. */
export async function runEvalSuites(options: EvalSuitesOptions): Promise<void> {
  const { model: source, data, out, cache, device, signal, another } = options;
  const chosen = suitesNamed(options.suites);
  if (!existsSync(data)) throw new Error(`--data ${data}: there is no such directory`);
  await mkdir(out, { recursive: true }).catch((cause: Error) => {
    throw new Error(`--out ${out}: ${cause.message}`, { cause });
  });
  const pretrained = await loadNamed(source, { another });
  const embedder = createEmbedder(pretrained, { cache, signal });
  const results: TimedResult[] = [];
  const failures: SuiteFailure[] = [];
  const model = { name: pretrained.name, fingerprint: pretrained.fingerprint };
  try {
    for (const suite of chosen) {
      const done = await oneSuite(suite, data, embedder);
      if ('reason' in done) failures.push(done);
      else results.push(done);
      const date = new Date().toISOString();
      await write(out, { model, device: device.description, date, version, results, failures });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    console.error(`stopped; ${kept(embedder)} are kept in ${cache}, and the same command goes on from there`);
    return;
  } finally {
    embedder.close();
  }
  if (embedder.damaged > 0)
    console.error(`${embedder.damaged} damaged records of ${cache} were embedded again`);
  console.log(
    `\nreport   ${join(out, 'report.html')}\nfigures  ${join(out, 'results.json')}, ${join(out, 'results.md')}`,
  );
  if (failures.length > 0) process.exitCode = 1;
}

async function oneSuite(suite: Suite, data: string, embedder: Embedder): Promise<TimedResult | SuiteFailure> {
  // A suite's own directory if there is one of its name, so that many can lie side by side.
  const own = join(data, suite.name);
  const directory = existsSync(own) ? own : data;
  const started = performance.now();
  const { onProgress, stop } = showing(suite.title);
  try {
    const result = await runSuite(suite, directory, embedder, { onProgress });
    stop();
    const seconds = (performance.now() - started) / 1000;
    console.log(lineOf({ ...result, directory, seconds }));
    for (const note of result.figures.notes ?? []) console.log(`    ${note}`);
    const chance = suite.kind === 'questions' ? suite.chance : undefined;
    return { ...result, directory, seconds, ...(chance !== undefined && { chance }) };
  } catch (error) {
    stop();
    if (!(error instanceof SuiteError)) throw error;
    const reason = directory === own ? error.message : `${error.message} (There is no ${own}.)`;
    console.error(`${suite.title} failed: ${reason}`);
    return { suite: suite.name, title: suite.title, reason };
  }
}

function lineOf({ title, figures, items, skipped, seconds }: TimedResult): string {
  const left = skipped.length > 0 ? `, ${skipped.length} SKIPPED` : '';
  return `${title.padEnd(24)} ${formatFigure(figures.main).padStart(5)} %  ${figures.metric} (${items} items${left}; ${formatDuration(seconds)})`;
}

const kept = ({ embedded: { images, texts } }: Embedder): string =>
  `${images} images and ${texts} texts embedded by this run`;

/** A bar for the texts of the classes, if there are any, and one for the items. */
function showing(title: string): Required<RunSuiteOptions> & { stop(): void } {
  let shown: { readonly what: string; readonly progress: Progress; done: number } | undefined;
  const stop = () => {
    shown?.progress.stop();
    shown = undefined;
  };
  return {
    stop,
    onProgress(what, done, total) {
      if (shown?.what !== what) {
        stop();
        const name = what === 'classes' ? `${title}, texts of the classes` : title;
        shown = {
          what,
          done: 0,
          progress: startProgress({ title: name, ...(total !== undefined && { total }) }),
        };
      }
      shown.progress.update(done, { examples: done - shown.done });
      shown.done = done;
    },
  };
}

async function write(out: string, results: EvaluationResults): Promise<void> {
  await writeFile(join(out, 'results.json'), resultsJson(results));
  await writeFile(join(out, 'results.md'), resultsMarkdown(results));
  await writeFile(join(out, 'report.html'), evaluationReport(results));
}
