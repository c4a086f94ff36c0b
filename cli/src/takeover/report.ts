/** What an import prints: lines for people with a progress bar on a terminal, or one JSON object a line; and its report file. */

import { appendFileSync } from 'node:fs'
import { PROGRESS_BAR_MS, PROGRESS_JSON_MS } from '@parsec/shared/deadlines'
import { type Output, plain } from '../command-line/output.ts'
import type { Finding } from './finding.ts'
import { type Measure, type Measures, NONE } from './measure.ts'

/** Done, but some rows were left out. */
export const EXIT_LEFT_OUT = 3
const BAR_WIDTH = 30
/** What a row costs besides its bytes, for the time that is left. */
const ROW_COST = 300
/** Findings of an organization that are printed; the report file has all. */
const SHOWN = 5

export type Settled = 'taken' | 'checked' | 'skipped' | 'refused'

export class ImportReport {
  readonly #output: Output
  readonly #json: boolean
  readonly #bar: boolean
  readonly #file: string
  readonly #start = performance.now()
  #total: Measure = NONE
  #done: Measure = NONE
  #organizations = 0
  #settled = { taken: 0, checked: 0, skipped: 0, refused: 0 }
  #findings = { certificate: 0, broken: 0, left_out: 0, kept: 0 }
  #tables = new Map<string, Measure>()
  #printedAt = 0
  #shown = false

  constructor(output: Output, { json, terminal, file }: { json: boolean; terminal: boolean; file: string }) {
    this.#output = output
    this.#json = json
    this.#bar = terminal && !json
    this.#file = file
  }

  begin(source: { place: string; level: number }, organizations: number, total: Measure): void {
    this.#organizations = organizations
    this.#total = total
    if (this.#json) this.#line({ kind: 'begin', ...source, organizations, ...total })
    else
      this.#say(
        `${source.place}: schema level ${source.level}, ${organizations} organizations, ${total.rows} rows, ${total.bytes} bytes`,
      )
  }
  settle(organization_id: string, how: Settled, detail?: string): void {
    this.#settled[how]++
    if (this.#json) this.#line({ kind: 'organization', organization_id, how, ...(detail !== undefined && { detail }) })
    else if (how === 'refused') this.#say(`${organization_id}: refused: ${detail}`)
    else if (detail !== undefined) this.#say(`${organization_id}: ${how}: ${detail}`)
    this.#progress()
  }
  findings(organization_id: string, findings: readonly Finding[]): void {
    for (const finding of findings) this.#findings[finding.kind]++
    if (findings.length === 0) return
    appendFileSync(this.#file, findings.map(finding => `${JSON.stringify(finding)}\n`).join(''), { mode: 0o600 })
    if (this.#json) for (const finding of findings) this.#line(finding)
    else {
      for (const { kind, table, row, why } of findings.slice(0, SHOWN))
        this.#say(`${organization_id}: ${kind.replace('_', ' ')}: ${table} ${row}: ${why}`)
      if (findings.length > SHOWN) this.#say(`${organization_id}: ${findings.length - SHOWN} more in ${this.#file}`)
    }
  }
  moved(rows: number, bytes: number): void {
    this.#done = { rows: this.#done.rows + rows, bytes: this.#done.bytes + bytes }
    this.#progress()
  }
  took(measures: Measures): void {
    for (const [table, { rows, bytes }] of Object.entries(measures)) {
      const before = this.#tables.get(table) ?? NONE
      this.#tables.set(table, { rows: before.rows + rows, bytes: before.bytes + bytes })
    }
  }
  get refused(): number {
    return this.#settled.refused
  }
  get leftOut(): number {
    return this.#findings.left_out
  }

  /** The summary, by table. */
  end(): void {
    this.#clearBar()
    const seconds = (performance.now() - this.#start) / 1000
    const tables = [...this.#tables].filter(([, { rows }]) => rows > 0)
    if (this.#json)
      return this.#line({
        kind: 'end',
        ...this.#settled,
        findings: this.#findings,
        seconds: Math.round(seconds * 10) / 10,
        tables: Object.fromEntries(tables),
      })
    const { taken, checked, skipped, refused } = this.#settled
    for (const [table, { rows, bytes }] of tables)
      this.#say(
        `${table.padEnd(24)}${String(rows).padStart(12)} rows ${bytes > 0 ? `${String(bytes).padStart(16)} bytes` : ''}`,
      )
    const { left_out, kept, certificate } = this.#findings
    if (left_out + kept + certificate > 0)
      this.#say(
        `${left_out} rows left out, ${kept} odd rows kept, ${certificate} certificates that do not verify: see ${this.#file}`,
      )
    const done = checked > 0 ? `${checked} checked, nothing was written` : `${taken} taken`
    this.#say(`Organizations: ${done}, ${skipped} there already, ${refused} refused; ${Math.round(seconds)} s`)
  }
  clear(): void {
    this.#clearBar()
  }

  #progress(): void {
    if (!this.#json && !this.#bar) return
    const now = performance.now()
    if (now - this.#printedAt < (this.#json ? PROGRESS_JSON_MS : PROGRESS_BAR_MS)) return
    this.#printedAt = now
    const cost = ({ rows, bytes }: Measure) => bytes + rows * ROW_COST
    const part = cost(this.#total) === 0 ? 1 : Math.min(1, cost(this.#done) / cost(this.#total))
    const left = part > 0 ? Math.round(((now - this.#start) / part - (now - this.#start)) / 1000) : null
    const organizations = Object.values(this.#settled).reduce((sum, n) => sum + n, 0)
    if (this.#json)
      return this.#line({ kind: 'progress', organizations, of: this.#organizations, ...this.#done, seconds_left: left })
    const filled = Math.round(part * BAR_WIDTH)
    this.#output.progress(
      `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${Math.floor(part * 100)} %, ${organizations} of ${this.#organizations} organizations, ${this.#done.rows} rows, ${Math.round(this.#done.bytes / 2 ** 20)} MiB${left === null ? '' : `, ${left} s left`}`,
    )
    this.#shown = true
  }
  #say(text: string): void {
    this.#clearBar()
    this.#output.out(`${plain(text)}\n`)
  }
  #clearBar(): void {
    if (this.#shown) this.#output.progress('')
    this.#shown = false
  }
  #line(value: object): void {
    this.#output.data(`${JSON.stringify(value)}\n`)
  }
}
