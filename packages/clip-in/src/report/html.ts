/** Text to HTML without the chance of forgetting to escaped; pictures to PNG. */
import { encode } from 'fast-png';
import type { Picture } from './data';

/** Finished HTML. */
export interface Html {
  readonly html: string;
}

type Part = Html | string | number | undefined | false | readonly Part[];

/** A template whose values are escaped, unless they are HTML themselves; lists are joined, `undefined` and `false` vanish. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: strings.reduce((text, next, i) => text + render(parts[i - 1]) + next) };
}

/** HTML that is known to be good, such as a style sheet. */
export const raw = (text: string): Html => ({ html: text });

function render(part: Part): string {
  if (part === undefined || part === false) return '';
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return 'html' in part ? part.html : part.map(render).join('');
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** A picture inside the page. */
export function image({ width, height, data }: Picture, alt: string): Html {
  const png = encode({ width, height, data, channels: 3, depth: 8 });
  const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  return html`<img src="${source}" width="${width}" height="${height}" alt="${alt}" loading="lazy">`;
}

/**
 * A picture from colours in [0, 1], as a renderer of scale `unit` draws them.
 *
 * @param values - `[side, side, 3]`
 */
export function pictureFromUnit(values: Float32Array, side: number): Picture {
  if (values.length !== side * side * 3)
    throw new RangeError(`pictureFromUnit: ${values.length} values are not [${side}, ${side}, 3]`);
  return {
    width: side,
    height: side,
    data: new Uint8Array(values.map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255))),
  };
}
