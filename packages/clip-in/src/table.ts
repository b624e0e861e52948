/** The figures of one or two models as a table for a terminal. */
import type { EvaluationSets, Measurement } from './evaluation/measure';

interface Row {
  readonly name: string;
  readonly of: (figures: Measurement) => number | undefined;
}

/** One column a model, in percent; with two, their difference too. */
export function figuresTable(
  columns: Readonly<Record<string, Measurement>>,
  { hand, split, pairs, gallery, classes }: EvaluationSets,
): string {
  const measured = Object.values(columns);
  const patterns = Object.keys(measured[0]?.perPattern ?? {});
  const rows: Row[] = [
    ...patterns.map((name): Row => ({ name, of: ({ perPattern }) => perPattern[name] })),
    { name: `Mean of the patterns (${pairs.length} pairs)`, of: ({ pairAccuracy }) => pairAccuracy },
    { name: 'The same, both directions right', of: ({ bothDirections }) => bothDirections },
    ...(['short', 'long'] as const).flatMap((kind) =>
      (['textToImage', 'imageToText'] as const).flatMap((direction) =>
        [1, 5].map(
          (k): Row => ({
            name: `R@${k}, ${kind} captions, ${direction === 'textToImage' ? 'text to image' : 'image to text'} (of ${gallery.length})`,
            of: ({ retrieval }) => retrieval[kind][direction][k],
          }),
        ),
      ),
    ),
    {
      name: `Single emoji, zero-shot (of ${classes.items.length})`,
      of: ({ classification }) => classification,
    },
  ];
  const heads = [
    `${split} split, hand ${hand}, percent`,
    ...Object.keys(columns),
    ...(measured.length === 2 ? ['change'] : []),
  ];
  const lines = rows.map(({ name, of }) => {
    const values = measured.map((figures) => of(figures) ?? Number.NaN);
    const [first, second] = values;
    const change = first !== undefined && second !== undefined ? [signed(second - first)] : [];
    return [name, ...values.map((value) => value.toFixed(1)), ...change];
  });
  const widths = heads.map((head, i) => Math.max(head.length, ...lines.map((line) => line[i]?.length ?? 0)));
  const format = (line: readonly string[]) =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  const rule = widths.map((width) => '─'.repeat(width)).join('──');
  return [
    format(heads),
    rule,
    ...lines.slice(0, patterns.length).map(format),
    rule,
    ...lines.slice(patterns.length).map(format),
  ].join('\n');
}

const signed = (value: number): string => `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(1)}`;
