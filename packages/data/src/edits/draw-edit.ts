/** Draws whole edits: a draft of the wanted kind within a split, then its captions. */
import type { Random } from '../random';
import { shortCaption, WORDINGS } from '../scenes/captions';
import { poolFor, type Split, splitOf } from '../scenes/splits';
import { type Draft, EDIT_KINDS, type Edit, type EditKind } from './edit';
import { DRAWERS } from './kinds';

/** Share of edits whose two captions are worded alike; in the others the target's caption is a free paraphrase. */
const SAME_WORDING = 0.75;

/** Draws an edit of that kind whose two scenes both belong to the split. */
export function drawEdit(random: Random, kind: EditKind, split: Split): Edit {
  for (;;) {
    const draft = DRAWERS[kind](random, poolFor(split));
    if (draft && splitOf(draft.source) === split && splitOf(draft.target) === split)
      return describe(random, kind, draft);
  }
}

function describe(random: Random, kind: EditKind, draft: Draft): Edit {
  const { source, target, instruction, mention } = draft;
  const wording = random.int(WORDINGS);
  const other = random.chance(SAME_WORDING) ? wording : random.int(WORDINGS);
  const captions = (): [string, string] => {
    if (kind !== 'add' && kind !== 'remove')
      return [shortCaption(source, mention, wording), shortCaption(target, mention, other)];
    // Only of the smaller scene is it worth saying that there is nothing else.
    const smaller = source.objects.length < target.objects.length;
    const plain = { ...mention, only: false };
    return [
      shortCaption(source, smaller ? mention : plain, wording),
      shortCaption(target, smaller ? plain : mention, other),
    ];
  };
  const [sourceCaption, targetCaption] = captions();
  return { kind, pattern: EDIT_KINDS[kind], instruction, source, target, sourceCaption, targetCaption };
}
