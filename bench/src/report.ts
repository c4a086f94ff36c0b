/** Rows of figures, and the table that they end in. */

/** Share of the ceiling, or a limit; `ok` null where no budget applies. */
export type Row = {
  what: string
  measured: string
  ceiling: string
  ratio: number | null
  budget: string
  ok: boolean | null
  /** One line each, printed under the table: latencies, processor time, single rounds. */
  details: readonly string[]
  /** The bare numbers, for `--json`. */
  figures: { readonly [name: string]: unknown }
}

const HEADINGS = ['what', 'measured', 'ceiling', 'ratio', 'budget', 'ok?']

export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map(({ what, measured, ceiling, ratio, budget, ok }) => [
    what,
    measured,
    ceiling,
    ratio === null ? '' : ratio.toFixed(2),
    budget,
    ok === null ? '' : ok ? 'yes' : 'NO',
  ])
  const widths = HEADINGS.map((heading, i) => Math.max(heading.length, ...cells.map(row => row[i]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join(' | ')
      .trimEnd()
  return [line(HEADINGS), widths.map(width => '-'.repeat(width)).join('-|-'), ...cells.map(line)].join('\n')
}

export const perSecond = (rate: number): string => `${Math.round(rate).toLocaleString('en')}/s`
export const milliseconds = (ms: number): string => `${ms.toFixed(ms < 10 ? 2 : 0)} ms`
export const kibibytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`
export const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`
