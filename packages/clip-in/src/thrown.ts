/** What is to be known of a thing that was thrown. */

/** The message of an error, or the text of anything else. */
export const messageOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);

/** The code of an error of the system or of a database, such as `ENOENT`; undefined for one without. */
export const codeOf = (thrown: unknown): string | undefined =>
  thrown instanceof Error && 'code' in thrown ? String(thrown.code) : undefined;
