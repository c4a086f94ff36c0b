/** What a command shows: a table for people, CSV or JSON for programs. */

import { plain } from '../command-line/output.ts'
import type { Json } from './api.ts'

export type Cell = string | number | boolean | null
export type Column = {
  readonly head: string
  /** As programs read it. */
  readonly of: (item: Json) => Cell
  /** … and people, when that differs. */
  readonly shown?: (item: Json) => Cell
  /** Numbers stand to the right. */
  readonly isRight?: boolean
}

export function table(columns: readonly Column[], items: readonly Json[]): string {
  const rows = items.map(item => columns.map(column => plain(textOf((column.shown ?? column.of)(item)))))
  const heads = columns.map(column => column.head.toUpperCase())
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map(row => [...row[i]!].length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        const pad = ' '.repeat(widths[i]! - [...cell].length)
        return columns[i]!.isRight ? pad + cell : cell + pad
      })
      .join('  ')
      .trimEnd()
  return [heads, ...rows].map(cells => `${line(cells)}\n`).join('')
}

/** RFC 4180. A text that a spreadsheet would take for a formula begins with an apostrophe. */
export const csv = (columns: readonly Column[], items: readonly Json[]): string =>
  [columns.map(column => column.head), ...items.map(item => columns.map(column => field(column.of(item))))]
    .map(line => `${line.join(',')}\r\n`)
    .join('')
function field(value: Cell): string {
  if (typeof value !== 'string') return value === null ? '' : String(value)
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

const textOf = (value: Cell): string =>
  value === null ? '–' : typeof value === 'boolean' ? yesNo(value) : String(value)
const yesNo = (value: boolean): string => (value ? 'yes' : 'no')

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const
/** `1.5 GB` */
export function bytes(size: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), UNITS.length - 1)
  const value = size / 1000 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`
}
/** To the second, as people read it; UTC. */
export const moment = (text: string | null): string => (text === null ? '–' : text.slice(0, 19).replace('T', ' '))

/** Columns that many lists have. */
export const text = (head: string): Column => ({ head, of: item => item[head] })
export const number = (head: string): Column => ({ ...text(head), isRight: true })
export const size = (head: string): Column => ({ ...number(head), shown: item => bytes(item[head]) })
export const instant = (head: string): Column => ({ ...text(head), shown: item => moment(item[head]) })
