/** Heat maps as a picture: the model's view of the image, and the two maps over it, each with the scale of its colours. */
import { createRequire } from 'node:module';
import { type ImageSource, type PreprocessOptions, preprocess } from '@clipin/data';
import { Resvg } from '@resvg/resvg-js';
import { interpolateInferno } from 'd3-scale-chromatic';
import sharp from 'sharp';
import { html, raw } from '../report/html';
import type { HeatMaps } from './heat-maps';

/** What a figure shows. */
export interface HeatMapFigure {
  readonly image: ImageSource;
  readonly text: string;
  readonly maps: HeatMaps;
  /** Of the model, so that its view of the image is shown. */
  readonly preprocess: PreprocessOptions;
  /** Name of the model. */
  readonly model: string;
}

/** Side of a panel, gap between panels, and heights of what is above and below, in pixels. */
const SIDE = 384;
const GAP = 24;
const HEAD = 84;
const FOOT = 62;
/** Share of the colour in the mix with the grey image. */
const STRENGTH = 0.62;

const percent = (value: number): string => `${(value * 100).toFixed(2)} %`;
const cosine = (value: number): string => value.toFixed(3).replace('-', '−');

const POOLS = {
  class: 'attention of the class token in the last block',
  attention: 'attention of the pooling probe',
  mean: 'the model takes the mean: the same everywhere',
} as const;

/** The figure as PNG, three panels side by side. */
export async function heatMapFigure(figure: HeatMapFigure): Promise<Uint8Array> {
  const { text, maps, model } = figure;
  const [rows, columns] = maps.grid;
  const view = await viewOf(figure);
  const grey = greyOf(view);
  const shape = maps.ownShape ? shapeOf(maps.grid) : { width: SIDE, height: SIDE };
  const panels = [
    panel(shape, await pngOf(view), ['The picture'], `cut as for ${model}, in ${columns} × ${rows} patches`),
    panel(
      shape,
      await overlay(grey, maps.attention, maps),
      ['Where it looks'],
      `${POOLS[maps.pool]}${maps.pool === 'mean' ? '' : `, mean of ${maps.heads} heads`}`,
      ends(maps.attention, percent),
    ),
    panel(
      shape,
      await overlay(grey, maps.similarity, maps),
      lines(`“${text}”`, 40, 2),
      `cosine with each patch; with the whole picture ${cosine(maps.cosine)}`,
      ends(maps.similarity, cosine),
    ),
  ];
  const width = panels.length * SIDE + (panels.length + 1) * GAP;
  const height = HEAD + SIDE + FOOT;
  const stops = Array.from({ length: 17 }, (_, i) => i / 16);
  const svg = html`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="DejaVu Sans">
<defs><linearGradient id="colours">${stops.map((at) => html`<stop offset="${at}" stop-color="${interpolateInferno(at)}"/>`)}</linearGradient></defs>
<rect width="${width}" height="${height}" fill="#ffffff"/>
${panels.map((part, i) => html`<g transform="translate(${GAP + i * (SIDE + GAP)} 0)">${raw(part)}</g>`)}</svg>`;
  const fontFiles = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map((name) =>
    createRequire(import.meta.url).resolve(`dejavu-fonts-ttf/ttf/${name}`),
  );
  // The system's fonts stand in where a text has letters that the one of the package lacks.
  const font = { fontFiles, loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans' };
  return new Resvg(svg.html, { font }).render().asPng();
}

/** A picture with words above and, of a map, the scale below. */
function panel(
  { width, height }: { readonly width: number; readonly height: number },
  png: Uint8Array,
  title: readonly string[],
  about: string,
  scale?: readonly [low: string, high: string],
): string {
  const top = HEAD + SIDE + 18;
  return html`${title.map((line, i) => html`<text y="${HEAD - 36 - (title.length - 1 - i) * 20}" font-size="16" font-weight="bold" fill="#1d2327">${line}</text>`)}
<text y="${HEAD - 14}" font-size="11.5" fill="#5d686f">${about}</text>
<image y="${HEAD}" width="${width}" height="${height}" preserveAspectRatio="none" href="data:image/png;base64,${Buffer.from(png).toString('base64')}"/>
${
  scale &&
  html`<rect y="${top}" width="${SIDE}" height="10" fill="url(#colours)"/>
<text y="${top + 28}" font-size="12" fill="#1d2327">${scale[0]}</text><text x="${SIDE}" y="${top + 28}" font-size="12" fill="#1d2327" text-anchor="end">${scale[1]}</text>`
}`.html;
}

/** Width and height of a grid that fits into a panel. */
function shapeOf([rows, columns]: HeatMaps['grid']): { width: number; height: number } {
  const patch = SIDE / Math.max(rows, columns);
  return { width: patch * columns, height: patch * rows };
}

/** The image as the model gets it, but with the pixels of a panel: `[side, side, 3]`, whatever shape it will be shown in. */
async function viewOf({ image, maps, preprocess: manner }: HeatMapFigure): Promise<Uint8Array> {
  const resize = maps.ownShape ? 'squash' : manner.resize;
  const values = await preprocess(image, { ...manner, resize, size: SIDE, mean: [0, 0, 0], std: [1, 1, 1] });
  return Uint8Array.from(values, (value) => Math.round(value * 255));
}

/** Lightness by the weights of sRGB's primaries, with less contrast, so that colours on it can be told apart: `[side, side]`. */
function greyOf(view: Uint8Array): Float32Array {
  return Float32Array.from({ length: view.length / 3 }, (_, i) => {
    const [r = 0, g = 0, b = 0] = view.subarray(i * 3, i * 3 + 3);
    return 40 + 0.7 * (0.2126 * r + 0.7152 * g + 0.0722 * b);
  });
}

/** A map in colour over the grey image. */
async function overlay(
  grey: Float32Array,
  map: Float32Array,
  { grid, covered }: HeatMaps,
): Promise<Uint8Array> {
  const colours = Array.from({ length: 256 }, (_, i) => rgbOf(interpolateInferno(i / 255)));
  const side = Math.round(SIDE * covered);
  const levels = await enlarged(levelsOf(map), grid, side);
  const out = new Uint8Array(SIDE * SIDE * 3);
  grey.forEach((value, i) => {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    const colour = x < side && y < side ? colours[levels[y * side + x]!] : undefined;
    for (let c = 0; c < 3; c++)
      out[i * 3 + c] = colour ? Math.round((1 - STRENGTH) * value + STRENGTH * colour[c]!) : value;
  });
  return pngOf(out);
}

/** From the lowest to the highest value as 0 to 255. A map without differences is low everywhere. */
function levelsOf(map: Float32Array): Uint8Array {
  const [low, high] = extent(map);
  return Uint8Array.from(map, (value) => (high > low ? Math.round(((value - low) / (high - low)) * 255) : 0));
}

const extent = (map: Float32Array): [low: number, high: number] => [
  map.reduce((a, b) => Math.min(a, b), Infinity),
  map.reduce((a, b) => Math.max(a, b), -Infinity),
];

const ends = (map: Float32Array, say: (value: number) => string): [low: string, high: string] => {
  const [low, high] = extent(map);
  return [say(low), say(high)];
};

/** Bicubic. */
async function enlarged(
  levels: Uint8Array,
  [rows, columns]: HeatMaps['grid'],
  side: number,
): Promise<Uint8Array> {
  return sharp(levels, { raw: { width: columns, height: rows, channels: 1 } })
    .resize(side, side, { kernel: 'cubic', fit: 'fill' })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
}

const pngOf = (pixels: Uint8Array): Promise<Uint8Array> =>
  sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();

/** `#rrggbb` as three numbers. */
function rgbOf(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Words in lines of at most so many letters; what does not fit ends with an ellipsis. */
function lines(text: string, letters: number, most: number): string[] {
  const result: string[] = [''];
  for (const word of text.split(/\s+/u)) {
    const longer = `${result.at(-1)} ${word}`.trimStart();
    if (longer.length <= letters || result.at(-1) === '') result[result.length - 1] = longer;
    else result.push(word);
  }
  const fitting = result
    .slice(0, most)
    .map((line) => (line.length > letters ? `${line.slice(0, letters - 1)}…` : line));
  if (result.length > most) fitting[most - 1] = `${fitting[most - 1]!.slice(0, letters - 1)}…`;
  return fitting;
}
