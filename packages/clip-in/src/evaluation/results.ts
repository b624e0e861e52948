/** What an evaluation found, as data and as Markdown, each figure with what was left out of it. The page is in `report/`. */
import { type PublishedFigures, publications, published } from '../benchmarks/published';
import type { FigureRow } from '../benchmarks/suite';
import type { SuiteResult } from './run-suite';

/** A suite that could not be scored. */
export interface SuiteFailure {
  readonly suite: string;
  readonly title: string;
  readonly reason: string;
}

/** A result, where it was read from, and how long it took. */
export interface TimedResult extends SuiteResult {
  readonly directory: string;
  readonly seconds: number;
  /** Share of right answers of a model that guesses, in percent, if that is known. */
  readonly chance?: number;
}

/** All results of a run. */
export interface EvaluationResults {
  readonly model: { readonly name: string; readonly fingerprint: string };
  readonly device: string;
  /** When it ended, ISO 8601. */
  readonly date: string;
  readonly version: string;
  readonly results: readonly TimedResult[];
  readonly failures: readonly SuiteFailure[];
}

/** What others printed of the same suite. */
export const publishedOf = (suite: string): readonly PublishedFigures[] => published[suite] ?? [];

/** `results.json`: all of it, with the published figures beside. */
export const resultsJson = (results: EvaluationResults): string =>
  `${JSON.stringify(
    {
      ...results,
      results: results.results.map((result) => ({ ...result, published: publishedOf(result.suite) })),
    },
    undefined,
    2,
  )}\n`;

/** A table of models by figures: this model first, then the published ones. */
export interface Comparison {
  readonly columns: readonly string[];
  readonly rows: readonly {
    readonly model: string;
    readonly source?: string;
    readonly note?: string;
    /** In percent; undefined where nothing was printed. */
    readonly values: readonly (number | undefined)[];
  }[];
}

/** The rows that published figures may be beside: those under no heading. */
export const plainRows = ({ figures }: SuiteResult): readonly FigureRow[] =>
  figures.rows.filter(({ section }) => section === undefined);

/**
 * Puts a result beside the published ones: the rows that others print, and the main figure where they print it as one more. No
 * columns, if nobody prints any.
 */
export function comparisonOf(model: string, result: SuiteResult): Comparison {
  const { figures, suite } = result;
  const others = publishedOf(suite);
  const own = new Map(plainRows(result).map(({ name, value }) => [name, value]));
  // A figure that others print and this suite does not count is a column too: it says what cannot be compared.
  const printed = new Set(others.flatMap(({ rows }) => Object.keys(rows)));
  const names = [
    ...[...own.keys()].filter((name) => printed.has(name)),
    ...[...printed].filter((name) => !own.has(name)),
  ];
  const withMain = others.some(({ main, rows }) => main !== undefined && !Object.values(rows).includes(main));
  const average = (value: number | undefined) => (withMain ? [value] : []);
  return {
    columns: [...names, ...(withMain ? ['average'] : [])],
    rows: [
      { model, values: [...names.map((name) => own.get(name)), ...average(figures.main)] },
      ...others.map(({ model: name, source, note, rows, main }) => ({
        model: name,
        source,
        ...(note !== undefined && { note }),
        values: [...names.map((column) => rows[column]), ...average(main)],
      })),
    ],
  };
}

/** `results.md`. */
export function resultsMarkdown(results: EvaluationResults): string {
  const { model, device, date, version, failures } = results;
  const parts = [
    `# ${model.name}\n`,
    `clip-in ${version}, ${date}, ${device}. Figures are percent.\n`,
    table(
      ['suite', 'figure', 'value', 'items', 'skipped'],
      results.results.map(({ title, figures, items, skipped }) => [
        title,
        figures.metric,
        formatFigure(figures.main),
        String(items),
        skipped.length === 0 ? '0' : `**${skipped.length}**`,
      ]),
    ),
    ...failures.map(({ title, reason }) => `**${title} failed:** ${reason.replaceAll('\n', ' ')}\n`),
    ...results.results.map((result) => suiteMarkdown(model.name, result)),
  ];
  return parts.join('\n');
}

function suiteMarkdown(model: string, result: TimedResult): string {
  const { title, figures, skipped } = result;
  const { columns, rows } = comparisonOf(model, result);
  const sources = [...new Set(rows.flatMap(({ source }) => (source === undefined ? [] : [source])))];
  const more = skipped.length - SHOWN;
  return [
    `## ${title}\n`,
    `${figures.metric}: **${formatFigure(figures.main)}**\n`,
    ...(figures.notes ?? []).map((note) => `- ${note}`),
    '',
    table(
      ['figure', 'percent', 'of'],
      figures.rows.map(({ section, name, value, count }) => [
        section === undefined ? name : `${section}: ${name}`,
        formatFigure(value),
        String(count),
      ]),
    ),
    ...(columns.length > 0
      ? [
          table(
            ['model', ...columns, 'from'],
            rows.map(({ model: name, source, note, values }, i) => [
              i === 0 ? `**${name}**` : name,
              ...values.map((value) => (value === undefined ? '' : formatFigure(value))),
              source === undefined ? 'this run' : `${source}${note === undefined ? '' : `; ${note}`}`,
            ]),
          ),
          ...sources.map((source) => `- ${source}: ${sourceText(source)}`),
        ]
      : []),
    ...(skipped.length > 0
      ? [
          `\n${skipped.length} skipped:\n`,
          ...skipped.slice(0, SHOWN).map((item) => `- ${item.skipped}: ${item.reason}`),
          ...(more > 0 ? [`- and ${more} more, in results.json`] : []),
        ]
      : []),
    '',
  ].join('\n');
}

/** Skipped items that are listed where people read. */
export const SHOWN = 20;

/** A figure as papers print it. */
export const formatFigure = (value: number): string => value.toFixed(1);

/** Where figures were printed, in words. */
export const sourceText = (source: string): string =>
  Object.entries(publications).find(([name]) => name === source)?.[1] ?? source;

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line), ''].join(
    '\n',
  );
}
