/** What somebody may have meant by a name that is not known (spec 06 §2). */

/** How alike two names must be, from 0 to 1, for one to be suggested. */
const LIKENESS = 0.6
const MOST_SUGGESTIONS = 3
/** ` Did you mean …?`, or nothing when no known name is like the one that was typed. */
export function suggestion(typed: string, known: readonly string[]): string {
  const alike = known
    .map(name => ({ name, likeness: (2 * common(typed, name)) / (typed.length + name.length) }))
    .filter(k => k.likeness >= LIKENESS)
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, MOST_SUGGESTIONS)
    .map(k => k.name)
    .sort()
  if (alike.length === 0) return ''
  return alike.length === 1 ? ` Did you mean ${alike[0]}?` : ` (Possible options: ${alike.join(', ')})`
}

/** Letters that two texts share: their longest common part, and so on to its left and right. */
function common(a: string, b: string): number {
  let [length, atA, atB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j < b.length; j++) {
      let n = 0
      while (i + n < a.length && a[i + n] === b[j + n]) n++
      if (n > length) [length, atA, atB] = [n, i, j]
    }
  if (length === 0) return 0
  return length + common(a.slice(0, atA), b.slice(0, atB)) + common(a.slice(atA + length), b.slice(atB + length))
}
