import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type ContactSheet, contactSheet } from './contact-sheet';
import { tinyPicture } from './pictures.test-helpers';

let place: string;
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'contact-sheet-'));
  await mkdir(join(place, 'pictures', 'sub folder'), { recursive: true });
});
afterEach(() => rm(place, { recursive: true }));

const sheet = (more: Partial<ContactSheet>): Promise<string> =>
  contactSheet({
    title: 'a red apple',
    folder: join(place, 'pictures'),
    matches: [],
    searched: 7,
    model: 'small-world',
    file: join(place, 'pages', 'found.html'),
    ...more,
  });

async function photo(path: string, width: number, height: number, orientation?: number): Promise<void> {
  const image = sharp({ create: { width, height, channels: 3, background: '#c03020' } }).jpeg();
  await writeFile(
    join(place, 'pictures', path),
    await (orientation === undefined ? image : image.withMetadata({ orientation })).toBuffer(),
  );
}

const thumbnails = (page: string): Buffer[] =>
  [...page.matchAll(/<img [^>]*src="data:image\/webp;base64,([^"]*)"/g)].map(([, base64 = '']) =>
    Buffer.from(base64, 'base64'),
  );

it('shows every match with its rank, score and a thumbnail, in order', async () => {
  await photo('a.jpg', 1200, 300);
  await photo('sub folder/b.jpg', 30, 20);
  await photo('turned.jpg', 1200, 300, 6);
  const page = await sheet({
    matches: [
      { path: 'a.jpg', score: 0.5 },
      { path: 'sub folder/b.jpg', score: 0.25 },
      { path: 'turned.jpg', score: -0.125 },
    ],
  });
  expect(page).toContain('<h1>a red apple</h1>');
  expect(page).toContain('3 of 7 pictures in <b>pictures</b>');
  const names = [...page.matchAll(/<p class="name"[^>]*><b>(\d)<\/b> ([^<]*)<\/p>/g)].map(
    ([, rank, name]) => [rank, name],
  );
  expect(names).toEqual([
    ['1', 'a.jpg'],
    ['2', 'sub folder/b.jpg'],
    ['3', 'turned.jpg'],
  ]);
  expect(
    [...page.matchAll(/width:([\d.]+)%"><\/i><\/span>([^<]*)</g)].map(([, share, score]) => [share, score]),
  ).toEqual([
    ['100.0', '0.500'],
    ['50.0', '0.250'],
    ['0.0', '-0.125'],
  ]);
  const sizes = await Promise.all(
    thumbnails(page).map(async (bytes) => {
      const { width, height } = await sharp(bytes).metadata();
      return [width, height];
    }),
  );
  expect(sizes).toEqual([
    [400, 100],
    [30, 20],
    [100, 400],
  ]);
});

it('asks nothing of any server', async () => {
  await photo('a.jpg', 20, 20);
  const page = await sheet({
    like: join(place, 'pictures', 'a.jpg'),
    matches: [{ path: 'a.jpg', score: 1 }],
  });
  expect(page).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`);
  const asked = [
    ...page.matchAll(/(?:src|srcset|poster|action|data|url|import|background)\s*[=(]\s*["']?([^"')\s>]+)/gi),
  ];
  expect(asked.length).toBeGreaterThanOrEqual(2);
  for (const [, target] of asked) expect(target).toMatch(/^data:/);
  // Links are followed only by people.
  expect([...page.matchAll(/href="([^"]*)"/g)].map(([, target]) => target)).toEqual([
    'data:,',
    '../pictures/a.jpg',
  ]);
  expect(page).not.toMatch(/<(script|iframe|object|embed|link(?! rel="icon")|base|form|audio|video)\b/i);
});

it('escapes names and texts, in words and in links', async () => {
  const path = 'sub folder/<b>&"#?%ä.png';
  await writeFile(join(place, 'pictures', path), tinyPicture(3));
  const page = await sheet({ title: '<script>alert("x")</script>', matches: [{ path, score: 0.3 }] });
  expect(page).toContain('<h1>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</h1>');
  expect(page).toContain('href="../pictures/sub%20folder/%3Cb%3E%26%22%23%3F%25%C3%A4.png"');
  expect(page).toContain('sub folder/&lt;b&gt;&amp;&quot;#?%ä.png</p>');
  expect(page).not.toContain('<script');
  expect(thumbnails(page)).toHaveLength(1);
});

it('names what cannot be shown any more', async () => {
  await writeFile(join(place, 'pictures', 'cut.png'), tinyPicture(1).subarray(0, 40));
  const page = await sheet({
    matches: [
      { path: 'gone.png', score: 0.3 },
      { path: 'cut.png', score: 0.2 },
    ],
  });
  expect(thumbnails(page)).toHaveLength(0);
  expect([...page.matchAll(/class="lost">cannot be shown: [^<]+</g)]).toHaveLength(2);
  expect(page).toMatch(/cannot be shown: the file is missing/);
});
