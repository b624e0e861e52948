/** The parts of the report, from data to HTML. How they look is in `style.ts`. */
import type { Json } from '../checkpoint';
import { pairCorrect } from '../metrics';
import { lineChart } from './chart';
import type {
  ClassifiedExample,
  Curve,
  Evaluation,
  PairExample,
  PairScores,
  QueryExample,
  ReportData,
} from './data';
import { type Html, html, image } from './html';

const CHANCE = 25;

/** The four figures that matter most, after and before. */
export function keyFigures(before: Evaluation, after: Evaluation): Html {
  const recall = (kind: 'short' | 'long', { retrieval }: Evaluation): number =>
    ((retrieval[kind].imageToText[1] ?? 0) + (retrieval[kind].textToImage[1] ?? 0)) / 2;
  const figures: [name: string, was: number, now: number][] = [
    ['Edited pairs told apart', before.pairAccuracy, after.pairAccuracy],
    ['Long captions, R@1', recall('long', before), recall('long', after)],
    ['Short captions, R@1', recall('short', before), recall('short', after)],
    ['Single objects named', before.classification, after.classification],
  ];
  return html`<div class="figures">${figures.map(
    ([name, was, now]) => html`<div class="figure"><div class="name">${name}</div>
<div class="now">${number(now)}<small>%</small></div>
<div class="was">before ${number(was)} ${gain(was, now)}</div></div>`,
  )}</div>`;
}

/** Pair accuracy of every visual pattern, and folded away, of every kind of edit. */
export function patternTable(before: Evaluation, after: Evaluation, counts: ReportData['pairCounts']): Html {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return html`<section><h2>Telling edited pictures apart</h2>
<p class="lead">Each pair is a picture and its edit, with a caption for each. A pair counts if both captions choose their own picture,
the rule of MMVP; blind guesses get ${CHANCE}\u2009%, and a model that does not see the difference gets close to 0, because both
captions then choose the same picture. The mean weighs every pattern alike.</p>
<table class="patterns"><thead><tr><th>Visual pattern</th><th class="wide"></th><th>Pairs</th><th>Before</th><th>After</th><th>Difference</th></tr></thead>
<tbody>${accuracyRows(before.perPattern, after.perPattern, (name) => counts[name] ?? 0)}</tbody>
<tfoot>${accuracyRow('Mean of the patterns', before.pairAccuracy, after.pairAccuracy, total)}</tfoot></table>
<p class="key"><span><i class="from"></i>before</span><span><i class="to"></i>after</span><span><i class="chance"></i>blind guesses, ${CHANCE}\u2009%</span></p>
<details class="kinds"><summary>By kind of edit</summary><table class="patterns"><tbody>${accuracyRows(before.perKind, after.perKind)}</tbody></table></details></section>`;
}

/** Charts of the losses. */
export function curveSection(curves: readonly Curve[]): Html {
  return html`<section><h2>How it learned</h2>
<p class="lead">Faint lines are the steps themselves, clear ones their running mean. Steps run from left to right.</p>
<div class="charts">${curves.map((curve) => html`<div class="panel"><h3>${curve.title}</h3>${lineChart(curve)}</div>`)}</div></section>`;
}

/** Edited pairs with what the model chose. */
export function pairSection(pairs: readonly PairExample[]): Html {
  return html`<section><h2>Some of the pairs</h2>
<p class="lead">A is the picture before the edit, B the one after it. Beside each caption stands the picture that it chose, before
training and after it.</p>
<div class="pairs">${pairs.map(pairCard)}</div></section>`;
}

/** Captions and the pictures that they find. */
export function querySection(queries: readonly QueryExample[]): Html {
  return html`<section><h2>Finding pictures by caption</h2>
<p class="lead">The five pictures that the trained model finds most similar to a caption, the most similar first. The caption's own
picture is framed and has a tick.</p>
<div class="queries">${queries.map(queryCard)}</div></section>`;
}

/** Recall of retrieval as a table. */
export function retrievalTable(before: Evaluation, after: Evaluation): Html {
  const ks = Object.keys(after.retrieval.short.textToImage).map(Number);
  const row = (kind: 'short' | 'long', direction: 'imageToText' | 'textToImage'): Html => {
    const name = `${kind === 'short' ? 'Short' : 'Long'} captions, ${direction === 'imageToText' ? 'picture to text' : 'text to picture'}`;
    const cell = (k: number): Html => {
      const [was = 0, now = 0] = [before, after].map(({ retrieval }) => retrieval[kind][direction][k]);
      return html`<td><span class="both"><span class="was">${number(was)} →</span> ${number(now)}</span> ${gain(was, now)}</td>`;
    };
    return html`<tr><td>${name}</td>${ks.map(cell)}</tr>`;
  };
  return html`<section><h2>Retrieval</h2>
<p class="lead">Percent of queries whose own picture or caption is the first, or among the first few, of the whole gallery; before and
after training.</p>
<table class="scores"><thead><tr><th>Query</th>${ks.map((k) => html`<th>R@${k}</th>`)}</tr></thead>
<tbody>${[row('short', 'imageToText'), row('short', 'textToImage'), row('long', 'imageToText'), row('long', 'textToImage')]}</tbody></table></section>`;
}

/** Single objects and the names that they got. */
export function classSection(examples: readonly ClassifiedExample[]): Html {
  return html`<section><h2>Naming single objects</h2>
<p class="lead">Zero-shot: the class whose text is the most similar one to the picture, and what it was taken for if that was wrong.</p>
<ul class="classes">${examples.map(
    ({ picture, label, before, after }) => html`<li>${image(picture, label)}<p class="label">${label}</p>
<div class="chosen">${named('before', before, label)}${named('after', after, label)}</div></li>`,
  )}</ul></section>`;
}

/** All settings, folded away. */
export function settingsSection(config: Json): Html {
  return html`<section><h2>Settings</h2><p class="lead">The whole configuration of the run, as it can be given again.</p>
<details><summary>Show all settings</summary><dl class="settings">${flatten(config).map(
    ([path, value]) => html`<div><dt>${path}</dt><dd>${value}</dd></div>`,
  )}</dl></details></section>`;
}

/** Where and how long it ran. */
export function factList({ device, facts = {} }: ReportData, duration: string): Html {
  const entries = Object.entries({ Device: device, Duration: duration, ...facts });
  return html`<dl class="facts">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

type Shares = Readonly<Record<string, number>>;

const accuracyRows = (before: Shares, after: Shares, count?: (name: string) => number): Html[] =>
  Object.entries(after).map(([name, now]) => accuracyRow(name, before[name] ?? 0, now, count?.(name)));

const accuracyRow = (
  name: string,
  was: number,
  now: number,
  pairs?: number,
): Html => html`<tr><td>${name}</td>
<td class="wide">${track(was, now)}</td>${pairs !== undefined && html`<td data-name="pairs">${pairs}</td>`}
<td data-name="before">${number(was)}</td><td data-name="after">${number(now)}</td><td>${gain(was, now)}</td></tr>`;

function pairCard(pair: PairExample): Html {
  const { pattern, instruction, source, target, sourceCaption, targetCaption, before, after } = pair;
  const [wasRight, isRight] = [before, after].map(
    (scores) => pairCorrect(Float32Array.from(scores)).textToImage[0],
  );
  const words = isRight
    ? wasRight
      ? 'right before and after'
      : 'learned: now right'
    : wasRight
      ? 'lost: no longer right'
      : 'wrong before and after';
  const caption = (text: string, column: 0 | 1): Html => html`<li><b>${letter(column)}</b><span>${text}</span>
<span class="chosen">${choice('before', before, column)}${choice('after', after, column)}</span></li>`;
  return html`<article class="pair"><p class="tag">${pattern}</p><h3>${sentence(instruction)}</h3>
<div class="pictures"><figure>${image(source, sourceCaption)}<figcaption>A</figcaption></figure>
<figure>${image(target, targetCaption)}<figcaption>B</figcaption></figure></div>
<ul class="captions">${caption(sourceCaption, 0)}${caption(targetCaption, 1)}</ul>
<p class="verdict ${isRight ? 'right' : ''}">${isRight ? '✓' : '✗'}\u2002${sentence(words)}</p></article>`;
}

function choice(when: string, scores: PairScores, column: 0 | 1): Html {
  const [first, second] = [scores[column], scores[2 + column]!];
  const chosen = first > second ? 0 : second > first ? 1 : undefined;
  return mark(when, chosen === undefined ? 'neither' : letter(chosen), chosen === column);
}

const mark = (when: string, what: string, right: boolean): Html =>
  html`<span class="mark ${right ? 'right' : ''}">${when} <b>${what}</b>\u00a0${right ? '✓' : '✗'}<span class="sr"> (${right ? 'right' : 'wrong'})</span></span>`;

/** Says what a picture was taken for only where that was not what it is. */
const named = (when: string, name: string, label: string): Html =>
  name === label ? mark(when, 'right', true) : mark(when, name, false);

function queryCard({ caption, found, rank, gallery }: QueryExample): Html {
  const place = rank === 1 ? 'found first' : `its own picture is number ${rank}`;
  return html`<article class="query"><div><blockquote>${caption}</blockquote>
<p><span class="mark ${rank === 1 ? 'right' : ''}">${rank === 1 ? '✓' : '✗'} ${place}</span> of ${gallery}</p></div>
<ol class="found">${found.map(
    (
      { picture, right },
      i,
    ) => html`<li><figure class="${right ? 'right' : ''}">${image(picture, `${right ? 'The right picture' : 'Another picture'}, place ${i + 1}`)}
${right && html`<span class="badge" aria-hidden="true">✓</span>`}</figure></li>`,
  )}</ol></article>`;
}

function track(was: number, now: number): Html {
  const [low, high] = [Math.min(was, now), Math.max(was, now)];
  return html`<span class="track" aria-hidden="true"><i class="chance" style="left:${CHANCE}%"></i><i class="reach" style="left:${low.toFixed(1)}%;width:${(high - low).toFixed(1)}%"></i><i class="from" style="left:${was.toFixed(1)}%"></i><i class="to" style="left:${now.toFixed(1)}%"></i></span>`;
}

function gain(was: number, now: number): Html {
  const difference = Math.round(now * 10) / 10 - Math.round(was * 10) / 10;
  const kind = difference > 0.05 ? 'up' : difference < -0.05 ? 'down' : 'same';
  const sign = { up: '+', down: '−', same: '±' }[kind];
  return html`<span class="gain ${kind}">${sign}${number(Math.abs(difference))}</span>`;
}

function flatten(value: Json, path = ''): [string, string][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) =>
      flatten(inner as Json, path === '' ? key : `${path}.${key}`),
    );
  }
  return [[path, Array.isArray(value) ? value.join(', ') : String(value)]];
}

const letter = (column: 0 | 1): string => (column === 0 ? 'A' : 'B');
const number = (value: number): string => value.toFixed(1);
const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
