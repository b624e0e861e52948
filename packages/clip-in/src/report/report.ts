/** Writes what a run achieved: `report.html` for people, in one file without a single request, and `metrics.json` for programs. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatDuration } from '../progress';
import type { Evaluation, ReportData } from './data';
import { html, raw } from './html';
import {
  classSection,
  curveSection,
  factList,
  keyFigures,
  pairSection,
  patternTable,
  querySection,
  retrievalTable,
  settingsSection,
} from './sections';
import { STYLE } from './style';

/** Where a report was written. */
export interface WrittenReport {
  readonly html: string;
  readonly metrics: string;
}

/** Writes `report.html` and `metrics.json` into a directory, which is made if it is not there. */
export async function writeReport(directory: string, data: ReportData): Promise<WrittenReport> {
  await mkdir(directory, { recursive: true });
  const paths = { html: join(directory, 'report.html'), metrics: join(directory, 'metrics.json') };
  const { device, seconds, config } = data;
  const metrics = { device, seconds, before: figuresOf(data.before), after: figuresOf(data.after), config };
  await writeFile(paths.html, renderReport(data));
  await writeFile(paths.metrics, `${JSON.stringify(metrics, undefined, 2)}\n`);
  return paths;
}

/** The page as text. */
export function renderReport(data: ReportData): string {
  const { title, summary, before, after } = data;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${title}</title><link rel="icon" href="data:,"><style>${raw(STYLE)}</style></head>
<body><header><p class="eyebrow">clip-in report</p><h1>${title}</h1><p class="summary">${summary}</p>
${factList(data, formatDuration(data.seconds))}</header>
<main>${keyFigures(before, after)}
${patternTable(before, after, data.pairCounts)}
${data.pairs.length > 0 && pairSection(data.pairs)}
${data.queries.length > 0 && querySection(data.queries)}
${retrievalTable(before, after)}
${data.classified.length > 0 && classSection(data.classified)}
${data.curves.length > 0 && curveSection(data.curves)}
${settingsSection(data.config)}</main>
<footer>${data.credits.map((line) => html`<p>${line}</p>`)}</footer></body></html>
`.html;
}

/** A measurement may carry more than its figures; only they are for the file. */
const figuresOf = ({
  pairAccuracy,
  perPattern,
  perKind,
  bothDirections,
  retrieval,
  classification,
}: Evaluation): Evaluation => ({
  pairAccuracy,
  perPattern,
  perKind,
  bothDirections,
  retrieval,
  classification,
});
