/** Searches by words, as LIKE patterns over texts in lower case (spec 03 §4.5). */

/** A LIKE pattern for texts that hold all words of a query in order; null matches everything. */
export function wordsPattern(query: string | null): string | null {
  const words = (query ?? '')
    .toLowerCase()
    .split(/\p{White_Space}+/u)
    .filter(Boolean)
  return words.length === 0 ? null : `%${words.map(escapeLike).join('%')}%`
}
export const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&')
