/** The page of an evaluation: every suite with its figures, beside those that others published, and what was left out. */
import {
  type Comparison,
  comparisonOf,
  type EvaluationResults,
  formatFigure,
  plainRows,
  publishedOf,
  SHOWN,
  sourceText,
  type TimedResult,
} from '../evaluation/results';
import { formatDuration } from '../progress';
import { EVALUATION_STYLE } from './evaluation-style';
import { type Html, html, raw } from './html';
import { STYLE } from './style';

/** The page as text, in one file without a single request. */
export function evaluationReport(run: EvaluationResults): string {
  const { model, results, failures } = run;
  const title = `${model.name}: evaluation`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark"><title>${title}</title><link rel="icon" href="data:,"><style>${raw(STYLE)}${raw(EVALUATION_STYLE)}</style></head>
<body><header><p class="eyebrow">clip-in evaluation</p><h1>${model.name}</h1>${facts(run)}</header>
<main><div class="figures">${results.map(card)}</div>
${failures.map(({ title: suite, reason }) => html`<p class="failed"><b>${suite} failed.</b> ${reason}</p>`)}
${results.map((result) => section(model.name, result))}</main>
<footer>${footnotes(results)}</footer></body></html>
`.html;
}

function facts({ device, date, version, model, results }: EvaluationResults): Html {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const entries = {
    Device: device,
    Duration: formatDuration(seconds),
    Ended: `${date.slice(0, 16).replace('T', ' ')} UTC`,
    Weights: model.fingerprint.slice(0, 12),
    Version: `clip-in ${version}`,
  };
  return html`<dl class="facts">${Object.entries(entries).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** The figure of a suite that papers quote. */
const card = ({
  suite,
  title,
  figures,
  items,
  skipped,
}: TimedResult): Html => html`<a class="figure" href="#${suite}">
<div class="name">${title}</div><div class="now">${formatFigure(figures.main)}<small>%</small></div>
<div class="was">${figures.metric}<br>${count(items)} items${skipped.length > 0 && html`, <b class="warn">${count(skipped.length)} skipped</b>`}</div></a>`;

function section(model: string, result: TimedResult): Html {
  const { suite, title, figures, skipped, items, chance } = result;
  return html`<section id="${suite}"><h2>${title}</h2>
<p class="lead">${sentence(figures.metric)}: <b>${formatFigure(figures.main)}\u2009%</b>${
    chance !== undefined && html`; blind guesses get ${formatFigure(chance)}\u2009%`
  }. ${count(items)} items took part${
    skipped.length > 0 ? html`, <b class="warn">${count(skipped.length)} skipped and in no figure</b>` : ''
  }.</p>
${(figures.notes ?? []).length > 0 && html`<ul class="notes">${(figures.notes ?? []).map((note) => html`<li>${note}</li>`)}</ul>`}
${figureTable(result)}
${comparisonTable(comparisonOf(model, result))}
${sections(result)}${skippedList(result)}</section>`;
}

/** Each row with its place between 0 and 100, and those of published models. */
function figureTable(result: TimedResult): Html {
  const others = publishedOf(result.suite);
  const rows = plainRows(result);
  return html`<table class="patterns own"><thead><tr><th>Figure</th><th class="wide"></th><th>Items</th><th>Percent</th></tr></thead>
<tbody>${rows.map(
    ({ name, value, count: of }) =>
      html`<tr><td>${sentence(name)}</td><td class="wide">${track(
        value,
        others.flatMap(({ rows: printed }) => printed[name] ?? []),
      )}</td><td data-name="items">${count(of)}</td><td data-name="percent"><b>${formatFigure(value)}</b></td></tr>`,
  )}</tbody></table>
${others.length > 0 && html`<p class="key"><span><i class="to"></i>this model</span><span><i class="other"></i>published models</span></p>`}`;
}

function track(value: number, others: readonly number[]): Html {
  const dots = others.map((other) => html`<i class="other" style="left:${other.toFixed(1)}%"></i>`);
  return html`<span class="track" aria-hidden="true">${dots}<i class="to" style="left:${value.toFixed(1)}%"></i></span>`;
}

function comparisonTable({ columns, rows }: Comparison): Html {
  if (columns.length === 0) return html``;
  const best = columns.map((_, i) => Math.max(...rows.map(({ values }) => values[i] ?? -Infinity)));
  const cell = (value: number | undefined, i: number): Html =>
    value === undefined
      ? html`<td class="none">–</td>`
      : html`<td class="${value === best[i] ? 'best' : ''}">${formatFigure(value)}</td>`;
  return html`<h3 class="beside">Beside published figures</h3><div class="scroll" tabindex="0" role="region" aria-label="Published figures"><table class="beside">
<thead><tr><th>Model</th>${columns.map((name) => html`<th>${sentence(name)}</th>`)}</tr></thead>
<tbody>${rows.map(
    ({ model, source, note, values }) =>
      html`<tr class="${source === undefined ? 'this' : ''}"><th scope="row">${model}<small>${source ?? 'this run'}${note !== undefined && `; ${note}`}</small></th>${values.map(cell)}</tr>`,
  )}</tbody></table></div>`;
}

/** Rows under headings, which nobody published figures for, folded away. */
function sections({ figures }: TimedResult): Html {
  const rows = figures.rows.filter(({ section: heading }) => heading !== undefined);
  const headings = [...new Set(rows.map(({ section: heading = '' }) => heading))];
  return html`${headings.map(
    (heading) =>
      html`<details class="more"><summary>${heading}</summary><table class="patterns"><tbody>${rows
        .filter(({ section: own }) => own === heading)
        .map(
          ({ name, value, count: of }) =>
            html`<tr><td>${sentence(name)}</td><td class="wide">${track(value, [])}</td><td data-name="items">${count(of)}</td><td data-name="percent"><b>${formatFigure(value)}</b></td></tr>`,
        )}</tbody></table></details>`,
  )}`;
}

function skippedList({ skipped }: TimedResult): Html {
  if (skipped.length === 0) return html``;
  const more = skipped.length - SHOWN;
  return html`<details class="more"><summary>${count(skipped.length)} skipped</summary><ul class="skipped">${skipped
    .slice(0, SHOWN)
    .map(({ skipped: item, reason }) => html`<li><b>${item}</b> ${reason}</li>`)}${
    more > 0 && html`<li>and ${count(more)} more, in results.json</li>`
  }</ul></details>`;
}

function footnotes(results: readonly TimedResult[]): Html {
  const sources = [
    ...new Set(results.flatMap(({ suite }) => publishedOf(suite).map(({ source }) => source))),
  ];
  return html`${sources.map((source) => html`<p>${source}: ${sourceText(source)}</p>`)}
${
  sources.length > 0 &&
  html`<p>Published figures were measured by others, with their own code; differences of a few tenths come of
precision and resizing alone.</p>`
}`;
}

const count = (value: number): string => value.toLocaleString('en');
/** Names of files stay as they are. */
const sentence = (text: string): string =>
  text.includes('_') ? text : text.charAt(0).toUpperCase() + text.slice(1);
