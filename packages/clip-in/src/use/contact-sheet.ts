/** Search results as a page to look at: one file, thumbnails inside, which asks nothing of any server. */
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { type Html, html, raw } from '../report/html';
import { messageOf } from '../thrown';
import type { Match } from './picture-index';
import { SHEET_STYLE } from './sheet-style';

/** What a contact sheet shows. */
export interface ContactSheet {
  /** What was looked for, as a person says it. */
  readonly title: string;
  /** A picture that was looked for, above the others. */
  readonly like?: string;
  /** Folder that the paths of the matches are below. */
  readonly folder: string;
  readonly matches: readonly Match[];
  /** Pictures in the index. */
  readonly searched: number;
  /** Name of the model. */
  readonly model: string;
  /** Where the page will be, so that its links lead to the pictures. */
  readonly file: string;
}

/** Side of the square that a thumbnail fits into: sharp on a dense screen, and some kilobytes. */
const THUMBNAIL = 400;
const AT_ONCE = 8;

/** The page as text. Pictures that cannot be shown any more are named, with the reason. */
export async function contactSheet(sheet: ContactSheet): Promise<string> {
  const { title, like, folder, matches, searched, model } = sheet;
  const best = matches[0]?.score ?? 0;
  const cards: Html[] = [];
  for (let start = 0; start < matches.length; start += AT_ONCE) {
    const some = matches.slice(start, start + AT_ONCE);
    cards.push(...(await Promise.all(some.map((match, i) => card(sheet, match, start + i + 1, best)))));
  }
  const shown = `${matches.length} of ${searched} ${searched === 1 ? 'picture' : 'pictures'}`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark"><title>${title}</title><link rel="icon" href="data:,"><style>${raw(SHEET_STYLE)}</style></head>
<body><header>${like !== undefined && (await picture(like, 'the picture that was looked for', 'asked'))}
<div><h1>${title}</h1><p>${shown} in <b>${basename(folder)}</b>, best first. The number is the cosine by ${model}.</p></div></header>
<main><ol>${cards}</ol></main></body></html>
`.html;
}

async function card({ folder, file }: ContactSheet, match: Match, rank: number, best: number): Promise<Html> {
  const path = join(folder, match.path);
  const share = best > 0 ? Math.max(0, match.score / best) * 100 : 0;
  return html`<li><a href="${linkTo(path, file)}">${await picture(path, match.path)}</a>
<p class="name" title="${match.path}"><b>${rank}</b> ${match.path}</p>
<p class="score"><span class="bar"><i style="width:${share.toFixed(1)}%"></i></span>${match.score.toFixed(3)}</p></li>
`;
}

async function picture(path: string, alt: string, name = ''): Promise<Html> {
  try {
    // As the photographer held it, which the pixels alone do not say.
    const { data, info } = await sharp(path)
      .autoOrient()
      .resize(THUMBNAIL, THUMBNAIL, { fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 80 })
      .toBuffer({ resolveWithObject: true });
    const source = `data:image/webp;base64,${data.toString('base64')}`;
    return html`<img class="${name}" src="${source}" width="${info.width}" height="${info.height}" alt="${alt}">`;
  } catch (cause) {
    const reason = messageOf(cause);
    return html`<span class="lost">cannot be shown: ${reason.replace(/^Input file/, 'the file')}</span>`;
  }
}

/** Relative where the page and the picture are on one drive, so that both may be moved together. */
function linkTo(path: string, file: string): string {
  const way = relative(dirname(resolve(file)), resolve(path));
  if (resolve(way) === way) return pathToFileURL(path).href;
  return way.split(sep).map(encodeURIComponent).join('/');
}
