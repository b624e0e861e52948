/** Families: things drawn in several colours, states, views, with several texts or directions. */
import type { Hand } from '../art/hands';
import { type Color, type Item, type ItemNotes, item } from './item';

/** The newer shapes are not in EmojiOne. */
const NEWER: readonly Hand[] = ['emojione'];

/** Rows of colour, code, and notes of one noun. */
function inColors(
  noun: string,
  rows: readonly [Color, string, ItemNotes?][],
  shared: ItemNotes = {},
): Item[] {
  return rows.map(([color, code, notes]) =>
    item(noun, code, { adjective: color, color, group: noun, variation: 'color', ...shared, ...notes }),
  );
}

function inStates(
  noun: string,
  rows: readonly [string, string, ItemNotes?][],
  shared: ItemNotes = {},
): Item[] {
  return rows.map(([adjective, code, notes]) =>
    item(noun, code, { adjective, group: noun, variation: 'state', turns: true, ...shared, ...notes }),
  );
}

function inViews(
  noun: string,
  front: string,
  side: string,
  shared: ItemNotes = {},
  sideOnly: ItemNotes = {},
): Item[] {
  const both = { group: noun, variation: 'view', turns: true, ...shared } as const;
  return [
    item(noun, front, { ...both, view: 'front' }),
    item(noun, side, { ...both, view: 'side', faces: true, ...sideOnly }),
  ];
}

const COLORED: Item[] = [
  ...inColors(
    'heart',
    [
      ['red', '2764'],
      ['orange', '1f9e1', { notBy: NEWER }],
      ['yellow', '1f49b'],
      ['green', '1f49a', { heldOut: true }],
      ['blue', '1f499'],
      ['purple', '1f49c'],
      ['black', '1f5a4'],
    ],
    { turns: true },
  ),
  ...inColors('circle', [
    ['red', '1f534'],
    ['orange', '1f7e0', { notBy: NEWER }],
    ['yellow', '1f7e1', { notBy: NEWER }],
    ['green', '1f7e2', { notBy: NEWER }],
    ['blue', '1f535'],
    ['purple', '1f7e3', { notBy: NEWER, heldOut: true }],
    ['brown', '1f7e4', { notBy: NEWER }],
    ['black', '26ab'],
  ]),
  ...inColors('square', [
    ['red', '1f7e5', { notBy: NEWER }],
    ['orange', '1f7e7', { notBy: NEWER }],
    ['yellow', '1f7e8', { notBy: NEWER }],
    ['green', '1f7e9', { notBy: NEWER }],
    ['blue', '1f7e6', { notBy: NEWER, heldOut: true }],
    ['purple', '1f7ea', { notBy: NEWER }],
    ['brown', '1f7eb', { notBy: NEWER }],
    ['black', '2b1b'],
  ]),
  ...inColors('diamond', [
    ['orange', '1f536'],
    ['blue', '1f537'],
  ]),
  ...inColors(
    'apple',
    [
      ['red', '1f34e'],
      ['green', '1f34f'],
    ],
    { turns: true },
  ),
  ...inColors('notebook', [
    ['green', '1f4d7'],
    ['blue', '1f4d8'],
    ['orange', '1f4d9', { heldOut: true }],
  ]),
];

const STATES: Item[] = [
  ...inStates(
    'book',
    [
      ['closed', '1f4d5'],
      ['open', '1f4d6'],
    ],
    { turns: false },
  ),
  // OpenMoji's two locks differ by a few pixels only.
  ...inStates(
    'lock',
    [
      ['closed', '1f512'],
      ['open', '1f513'],
    ],
    { notBy: ['openmoji'] },
  ),
  ...inStates(
    'mailbox',
    [
      ['closed', '1f4ea'],
      ['open', '1f4ec'],
    ],
    { plural: 'mailboxes' },
  ),
  ...inStates('umbrella', [
    ['closed', '1f302'],
    ['open', '2602'],
  ]),
  ...inStates('bell', [
    ['ringing', '1f514'],
    ['silent', '1f515', { turns: false }],
  ]),
  ...inStates(
    'speaker',
    [
      ['loud', '1f50a'],
      ['silent', '1f507'],
    ],
    { turns: false },
  ),
  ...inStates(
    'face',
    [
      ['happy', '1f600', { color: 'yellow' }],
      ['angry', '1f620'],
      ['sleeping', '1f634', { color: 'yellow' }],
    ],
    { turns: false },
  ),
  ...inStates('rose', [
    ['fresh', '1f339', { color: 'red' }],
    ['wilted', '1f940'],
  ]),
  ...inStates('house', [
    ['new', '1f3e0'],
    ['ruined', '1f3da'],
  ]),
  ...inStates(
    'monkey',
    [
      ['watching', '1f435'],
      ['hiding', '1f648'],
    ],
    { color: 'brown' },
  ),
  ...inStates(
    'chick',
    [
      ['hatching', '1f423'],
      ['standing', '1f425'],
    ],
    { color: 'yellow' },
  ),
  ...inStates(
    'moon',
    [
      ['dark', '1f31a'],
      ['bright', '1f31d', { color: 'yellow' }],
    ],
    { turns: false },
  ),
];

/** EmojiOne draws these animals from the front only. */
const PROFILE: ItemNotes = { notBy: ['emojione'] };

const VIEWS: Item[] = [
  ...inViews('bus', '1f68d', '1f68c', { plural: 'buses' }, { faces: false }),
  ...inViews('car', '1f698', '1f697'),
  ...inViews('taxi', '1f696', '1f695', { color: 'yellow' }),
  ...inViews('police car', '1f694', '1f693'),
  ...inViews('tram', '1f68a', '1f68b', {}, { faces: false }),
  ...inViews('cat', '1f431', '1f408', {}, PROFILE),
  ...inViews('pig', '1f437', '1f416', { color: 'pink' }, PROFILE),
  ...inViews('cow', '1f42e', '1f404', {}, PROFILE),
  ...inViews('rabbit', '1f430', '1f407', {}, PROFILE),
  ...inViews('mouse', '1f42d', '1f401', { plural: 'mice' }, PROFILE),
  ...inViews('tiger', '1f42f', '1f405', { color: 'orange' }, PROFILE),
];

const words = (rows: readonly [string, string][], group: string): Item[] =>
  rows.map(([text, code]) => item('sign', code, { tail: `saying ${text}`, group, variation: 'text' }));

const SIGNS: Item[] = [
  ...words(
    [
      ['ok', '1f197'],
      ['new', '1f195'],
      ['free', '1f193'],
      ['cool', '1f192'],
      ['sos', '1f198'],
      ['id', '1f194'],
      ['wc', '1f6be'],
    ],
    'word sign',
  ),
  ...words(
    Array.from({ length: 10 }, (_, digit) => [`${digit}`, `003${digit}-20e3`] as [string, string]),
    'digit sign',
  ),
  ...(
    [
      ['twelve', '1f55b'],
      ['three', '1f552'],
      ['nine', '1f558'],
    ] as const
  ).map(([hour, code]) => item('clock', code, { tail: `at ${hour}`, group: 'clock', variation: 'text' })),
];

const ARROWS: Item[] = (
  [
    ['up', '2b06'],
    ['down', '2b07'],
    ['left', '2b05'],
    ['right', '27a1'],
    ['up and right', '2197'],
    ['down and right', '2198'],
    ['down and left', '2199'],
    ['up and left', '2196'],
  ] as const
).map(([way, code]) =>
  item('arrow', code, { tail: `pointing ${way}`, group: 'arrow', variation: 'direction' }),
);

/** All items that vary in one respect within a group. */
export const FAMILIES: readonly Item[] = [...COLORED, ...STATES, ...VIEWS, ...SIGNS, ...ARROWS];
