/**
 * To how many tokens texts are padded. CLIP's towers do not see what follows the end token; those of SigLIP's kind do, so that
 * the length belongs to the text, and has to be the one that the tower was trained with.
 */

/** The lengths that a text tower knows; see `TextConfig`. */
export interface TextLengths {
  readonly contextLength: number;
  readonly shortLength?: number;
}

/** Whether what follows the end token changes the embedding; see `textTransformer`. */
export const readsPadding = ({
  causal = true,
  pool = 'end',
}: {
  readonly causal?: boolean;
  readonly pool?: 'end' | 'last';
}): boolean => !causal || pool !== 'end';

/** The length of short texts, where the tower has one; else that of all. */
export const shortLengthOf = ({ contextLength, shortLength = contextLength }: TextLengths): number =>
  shortLength;

/** To how many tokens a text of so many is padded: the short length if it fits. */
export const paddedLength = (lengths: TextLengths, tokens: number): number =>
  tokens <= shortLengthOf(lengths) ? shortLengthOf(lengths) : lengths.contextLength;

/** The tokens of a row of ids up to its end token, which every row has. */
export const tokensIn = (row: Int32Array, end: number): number => row.indexOf(end) + 1;
