/** Takes secrets out of what leaves the machine: those of the configuration by value, others by their form. */

/** Shorter values are no secrets, and would turn every text to stars. */
const MIN_SECRET_LENGTH = 4
const HIDDEN = '***'
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/(\w:\/\/[^\s/:@]*):[^\s/@]+@/g, `$1:${HIDDEN}@`],
  [/\b(Bearer\s+)[^\s"',]+/gi, `$1${HIDDEN}`],
  [/\b((?:token|password|secret)=)[^\s&"',]+/gi, `$1${HIDDEN}`],
]

export type Scrub = <T>(value: T) => T

/** A function that copies plain data without the secrets; a property whose name says that it is one is hidden whole. */
export function scrubber(secrets: readonly string[]): Scrub {
  const known = [...new Set(secrets.flatMap(secret => [secret, encodeURIComponent(secret)]))]
    .filter(secret => secret.length >= MIN_SECRET_LENGTH)
    .sort((a, b) => b.length - a.length)
  const text = (value: string): string => {
    const clean = known.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), value)
    return FORMS.reduce((rest, [form, replacement]) => rest.replace(form, replacement), clean)
  }
  const scrub = (value: unknown): unknown => {
    if (typeof value === 'string') return text(value)
    if (Array.isArray(value)) return value.map(scrub)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        /token|password|secret/i.test(key) && typeof inner === 'string' ? HIDDEN : scrub(inner),
      ]),
    )
  }
  return scrub as Scrub
}
