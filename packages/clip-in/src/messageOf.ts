/** What somebody reads of a thing that was thrown. */

/** The message of an error, or the text of anything else. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
