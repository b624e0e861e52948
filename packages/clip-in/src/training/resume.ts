/** Which settings a resumed run must share with the run that it goes on from. */
import { toJson } from '../checkpoint';

/** What may differ: it names places, or says how long to train, how often to look and what to keep. */
const FREE = new Set([
  'device',
  'threads',
  'out',
  'start',
  'distillation.steps',
  'training.steps',
  'evaluation',
  'checkpoints',
]);

/**
 * Makes sure that a run would go on as the one that wrote a checkpoint would have.
 *
 * @param saved - the configuration in the checkpoint
 * @param wanted - the configuration of the run that is to go on
 * @throws Error listing every setting that differs, with both values
 */
export function checkSameSettings(saved: unknown, wanted: object): void {
  const lines = differences(saved, toJson(wanted), '');
  if (lines.length === 0) return;
  throw new Error(
    `--resume: the checkpoint was made with other settings\n  ${lines.join('\n  ')}\n` +
      'use these again, or start anew without --resume or in another --out',
  );
}

function differences(saved: unknown, wanted: unknown, path: string): string[] {
  if (FREE.has(path)) return [];
  if (isRecord(saved) && isRecord(wanted)) {
    return Object.keys({ ...saved, ...wanted }).flatMap((key) =>
      differences(saved[key], wanted[key], path === '' ? key : `${path}.${key}`),
    );
  }
  const [before, now] = [JSON.stringify(saved), JSON.stringify(wanted)];
  return before === now ? [] : [`${path}: ${before} in the checkpoint, ${now} now`];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
