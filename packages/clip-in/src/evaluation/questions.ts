/** Questions: the cosines of each one's own images and texts, which its suite then judges. */
import type { Answer, Question, Skipped } from '../benchmarks/suite';
import { cosines } from '../metrics';
import type { Embeds } from './embedder';
import { type ItemImages, Rows, type Tally, withEmbeddings, withoutBytes } from './stream';

/** Enough that texts of one length fill a batch. */
const TEXTS_AT_ONCE = 256;

/** The images of a question, and its name. */
export const QUESTION_IMAGES: ItemImages<Question> = {
  imagesOf: ({ images }) => images,
  nameOf: ({ id }) => id,
};

/** Embeds questions and compares their images with their texts. */
export async function askQuestions(
  items: AsyncIterable<Question | Skipped>,
  embedder: Embeds,
  tally: Tally,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  const { width } = embedder;
  let waiting: { question: Question; images: Float32Array }[] = [];
  const compare = async () => {
    const texts = await embedder.texts(waiting.flatMap(({ question }) => question.texts));
    let at = 0;
    for (const { question, images } of waiting) {
      const end = at + question.texts.length * width;
      const scores = cosines(images, texts.subarray(at, end), width);
      answers.push({ question, scores });
      at = end;
    }
    waiting = [];
  };
  let texts = 0;
  for await (const [question, rows] of withEmbeddings(items, QUESTION_IMAGES, embedder, tally)) {
    const images = new Rows(width);
    for (const row of rows) images.add(row);
    waiting.push({
      question: { ...question, images: question.images.map(withoutBytes) },
      images: images.all().rows,
    });
    texts += question.texts.length;
    if (texts >= TEXTS_AT_ONCE) {
      await compare();
      texts = 0;
    }
  }
  await compare();
  return answers;
}
