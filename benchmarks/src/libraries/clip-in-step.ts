/** The training step of CLIP-IN as the recipe runs it: `fineTuning` of the package `clip-in`. */

import { packTexts } from '@clipin/data';
import { evaluate, randomKey, tensor } from '@clipin/tensor';
import {
  configurations,
  dualEncoder,
  fineTuning,
  packedTensors,
  recordToTree,
  type TrainBatch,
  withRotaryText,
} from 'clip-in';
import type { ClipInProblem, Ids, Task, Values } from '../library';

/** The step; each takes a fresh batch from the host, since a step takes the memory of its batch. */
export function clipInStep({
  params,
  batch,
  contextLength,
  hardNegativeWeight,
  optimizer,
}: ClipInProblem): Task {
  const model = dualEncoder(withRotaryText(configurations['small-world'], contextLength));
  const record = Object.fromEntries(
    Object.entries(params).map(([path, values]) => [path, { dtype: 'f32' as const, ...values }]),
  );
  const { initial, step } = fineTuning(
    model,
    recordToTree(model.init(randomKey(0)), record),
    { loss: 'clip-in', longCaptions: true, hardNegativeWeight },
    optimizer,
    () => {
      throw new Error('the benchmark hands out the batches');
    },
  );
  let state = evaluate(initial);
  const texts = [batch.short, batch.sourceText, batch.targetText, batch.long].map(({ data, shape }) => ({
    ids: data,
    length: shape[1] as number,
  }));
  const rows = packTexts(texts, { length: contextLength });
  const place = ({ data, shape }: Values | Ids) => tensor(data, [...shape]);
  const next = () => {
    const placed: TrainBatch = {
      images: place(batch.images),
      short: place(batch.short),
      long: place(batch.long),
      sourceImages: place(batch.sourceImages),
      targetImages: place(batch.targetImages),
      sourceText: place(batch.sourceText),
      targetText: place(batch.targetText),
      packed: packedTensors(rows),
    };
    const result = step(state, placed);
    state = result.state;
    const { loss, ...others } = result.metrics;
    for (const x of Object.values(others)) x.dispose();
    return loss;
  };
  return {
    async run() {
      using loss = next();
      return await loss.item();
    },
    queue: () => next().dispose(),
    // Of Adam's updates only the losses are compared: where a gradient is nothing but rounding, its update is not.
    values: async () => new Float32Array(),
  };
}
