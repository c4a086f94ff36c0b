/** Spans of time as people write them: `90s`, `15m`, `24h`, `7d`. */
import type { ValueType } from './values.ts'

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A span in milliseconds, not less than `least` (written the same way). */
export function duration(least: string): ValueType<number> {
  return {
    metavar: 'TIME',
    parse(text) {
      const ms = milliseconds(text)
      if (ms === null) throw new Error(`'${text}' is not a span of time like 90s, 15m, 24h or 7d.`)
      if (ms < milliseconds(least)!) throw new Error(`'${text}' is less than ${least}.`)
      return ms
    },
  }
}

function milliseconds(text: string): number | null {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim().toLowerCase()) ?? []
  return number === undefined ? null : Number(number) * UNITS[unit as keyof typeof UNITS]
}
