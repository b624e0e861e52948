/** What `npm run bench` is told. */
import { parseArgs } from 'node:util';

const devices = ['wasm', 'webgpu'] as const;

/** The options. */
export interface Options {
  /** Works with one of these in their name; none: all works. */
  readonly only: readonly string[];
  readonly devices: readonly (typeof devices)[number][];
  readonly rounds: number;
  readonly json?: string;
  readonly html?: string;
}

/** @throws Error naming the value and what would be right */
export function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      device: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      json: { type: 'string' },
      html: { type: 'string' },
    },
  });
  const { only, device, json, html } = values;
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds: got "${values.rounds}"; wants a whole number of at least 1`);
  }
  const wanted = devices.filter((name) => device === undefined || device === name);
  if (wanted.length === 0) {
    throw new Error(`--device: got "${device}"; wants ${devices.join(' or ')}, or nothing for both`);
  }
  return { only, devices: wanted, rounds, ...(json && { json }), ...(html && { html }) };
}
