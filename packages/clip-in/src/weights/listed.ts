/** Long lists in errors. */

/** Lines of a list that is cut with a count when it is long. */
export function listed(lines: readonly string[], most = 20): string {
  const more = lines.length - most;
  return more > 0 ? `${lines.slice(0, most).join('\n')}\n  … and ${more} more` : lines.join('\n');
}
