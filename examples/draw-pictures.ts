/**
 * A folder of pictures to try `clip-in index`, `search`, `classify` and `heatmap` on without weights from elsewhere: scenes of emoji that the
 * model of the package has not seen, in a folder for each hand that drew them. Files are named after what they show, which
 * no model reads.
 *
 *     npm run example examples/draw-pictures.ts -- --out runs/pictures --count 100
 *     npx clip-in index runs/pictures --model small-world --index runs/index
 *     npx clip-in search "a yellow star above a blue heart" --index runs/index --html runs/found.html
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRenderer, gallery, type Hand, loadArt } from '@clipin/data';
import { encode } from 'fast-png';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/pictures' },
    count: { type: 'string', default: '100' },
    side: { type: 'string', default: '384' },
  },
});
const side = Number(values.side);
const hands: readonly Hand[] = ['fluent', 'noto'];
const renderer = createRenderer(loadArt(hands, { size: Math.ceil(side / 2) }), {
  canvas: side,
  scale: 'unit',
});

for (const [seed, hand] of hands.entries()) {
  const folder = join(values.out, hand);
  await mkdir(folder, { recursive: true });
  for (const { scene, short } of gallery({ hand, seed, size: Number(values.count) })) {
    const colours = renderer.render(scene, hand);
    const data = Uint8Array.from(colours, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
    const name = short.replace(/^(a picture of|just) /, '').replaceAll(',', '');
    await writeFile(
      join(folder, `${name}.png`),
      encode({ width: side, height: side, data, channels: 3, depth: 8 }),
    );
  }
}
console.log(`${hands.length * Number(values.count)} pictures in ${values.out}`);
