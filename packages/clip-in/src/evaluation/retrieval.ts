/** Retrieval: recall among images and captions, where an image has several captions and any of them counts as its own. */
import { nameOf } from '@clipin/data';
import { type CaptionedImage, type Figures, type Skipped, SuiteError } from '../benchmarks/suite';
import type { Embedder } from './embedder';
import { type Embeddings, type Ranks, ranksAmong, similarity } from './ranks';
import { type ItemImages, Rows, type Tally, withEmbeddings } from './stream';

const KS = [1, 5, 10] as const;

/** Figures of embeddings. `owners` holds the image of each caption. */
export async function retrievalFigures(
  images: Embeddings,
  captions: Embeddings,
  owners: ArrayLike<number>,
): Promise<Figures> {
  const own = Float64Array.from({ length: captions.count }, (_, c) =>
    similarity(captions, c, images, owners[c]!),
  );
  const best = new Float64Array(images.count).fill(-Infinity);
  for (let c = 0; c < captions.count; c++) best[owners[c]!] = Math.max(best[owners[c]!]!, own[c]!);
  const directions = {
    'image to text': await ranksAmong(images, captions, {
      own: (image) => best[image]!,
      skip: (image, caption) => owners[caption] === image,
    }),
    'text to image': await ranksAmong(captions, images, {
      own: (caption) => own[caption]!,
      skip: (caption, image) => owners[caption] === image,
    }),
  };
  const rows = Object.entries(directions).flatMap(([direction, ranks]) =>
    KS.map((k) => ({ name: `${direction}, R@${k}`, value: recall(ranks, k), count: ranks.above.length })),
  );
  const [imageToText, textToImage] = [rows[0]!.value, rows[KS.length]!.value];
  return {
    main: (imageToText + textToImage) / 2,
    metric: 'R@1, mean of both directions',
    rows,
    notes: Object.entries(directions).flatMap(([direction, ranks]) => tieNote(direction, ranks)),
  };
}

/** Percent of queries whose own one is among the best k; one that is exactly as similar stands before it. */
const recall = ({ above, tied }: Ranks, k: number): number =>
  (100 * above.reduce((found, more, i) => found + (more + tied[i]! < k ? 1 : 0), 0)) / above.length;

/** Data sets hold the same caption for several images; how much that can matter. */
function tieNote(direction: string, { above, tied }: Ranks): string[] {
  const kind = tied.filter((count, i) => count > 0 && above[i] === 0).length;
  if (kind === 0) return [];
  const kindly = recall({ above, tied: new Int32Array(tied.length) }, 1);
  return [
    `${direction}: ${kind} ${kind === 1 ? 'query ties' : 'queries tie'} for the first place, as identical captions do. ` +
      `Ties count as wrong; were they right, R@1 would be ${kindly.toFixed(1)}.`,
  ];
}

/** Embeds images and captions, and scores them; undefined if there is nothing to score. */
export async function askRetrieval(
  items: AsyncIterable<CaptionedImage | Skipped>,
  embedder: Embedder,
  tally: Tally,
): Promise<Figures | undefined> {
  const embedded = new Rows(embedder.width);
  const captions = new Rows(embedder.width);
  const owners: number[] = [];
  let waiting: string[] = [];
  const embedCaptions = async () => {
    captions.add(await embedder.texts(waiting));
    waiting = [];
  };
  for await (const [item, [row]] of withEmbeddings(items, RETRIEVAL_IMAGES, embedder, tally)) {
    if (item.captions.length === 0) throw new SuiteError(`${nameOf(item.image)} has no caption`);
    for (const caption of item.captions) {
      waiting.push(caption);
      owners.push(embedded.count);
    }
    embedded.add(row!);
    if (waiting.length >= CAPTIONS_AT_ONCE) await embedCaptions();
  }
  await embedCaptions();
  return embedded.count === 0 ? undefined : retrievalFigures(embedded.all(), captions.all(), owners);
}

/** Enough that texts of one length fill a batch. */
const CAPTIONS_AT_ONCE = 512;

/** Each item has one image. */
export const RETRIEVAL_IMAGES: ItemImages<CaptionedImage> = { imagesOf: ({ image }) => [image] };
