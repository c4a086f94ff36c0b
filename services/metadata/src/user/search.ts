/**
 * Searches, as LIKE patterns over texts in lower case (spec 03 §4.5). A sigma at the end of a word is another letter in
 * lower case than elsewhere, but no other in upper case: whoever types half a name must find the whole.
 */
import { fragment } from '@parsec/shared/postgres/sql'

/** A LIKE pattern for texts that hold all words of a query in order; null matches everything. */
export function wordsPattern(query: string | null): string | null {
  const words = comparable(query ?? '')
    .split(/\p{White_Space}+/u)
    .filter(Boolean)
  return words.length === 0 ? null : `%${words.map(escapeLike).join('%')}%`
}
/** A LIKE pattern for texts that hold another. */
export const textPattern = (text: string): string => `%${escapeLike(comparable(text))}%`

const comparable = (text: string): string => text.toLowerCase().replaceAll('ς', 'σ')
export const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&')

// What patterns are compared with: columns in lower case, as they were stored.
export const LABEL = fragment`replace(human.folded_label, 'ς', 'σ')`
export const EMAIL = fragment`replace(human.folded_email, 'ς', 'σ')`
export const USER_ID = fragment`replace(user_.folded_user_id, 'ς', 'σ')`
