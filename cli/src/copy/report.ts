/** What a copy of blocks prints: lines for people with the progress on a terminal, or one JSON object a line. */
import type { CopyEvent, CopyState } from '@parsec/blockstore/copy/copy'
import { PROGRESS_BAR_MS, PROGRESS_JSON_MS } from '@parsec/shared/deadlines'
import { type Output, plain } from '../command-line/output.ts'

const MIB = 1024 * 1024

type Progress = Extract<CopyEvent, { kind: 'progress' }>

export class CopyReport {
  readonly #output: Output
  readonly #json: boolean
  readonly #terminal: boolean
  readonly #startedAt = performance.now()
  #first: Progress | undefined
  #printedAt = Number.NEGATIVE_INFINITY
  #isShown = false

  /** `terminal`: whether `output.err` goes to one. */
  constructor(output: Output, { json, terminal }: { json: boolean; terminal: boolean }) {
    this.#output = output
    this.#json = json
    this.#terminal = terminal && !json
  }

  event(event: CopyEvent): void {
    if (event.kind === 'progress') return this.#progress(event)
    if (this.#json) return this.#line(event)
    this.#clear()
    this.#output.out(
      event.kind === 'failed'
        ? `${plain(`${event.key}: not copied: ${event.cause}`)}\n`
        : `Waiting ${event.seconds} s for blocks that are being created\n`,
    )
  }
  end(state: CopyState, hint: string): void {
    this.#clear()
    const { blocks, bytes, failed } = state
    if (this.#json) return this.#line({ kind: 'end', blocks, bytes, failed: failed.length })
    this.#output.out(
      `Blocks: ${blocks} copied and read back (${mib(bytes)} MiB), ${failed.length} not copied\n${hint}\n`,
    )
  }
  interrupted(hint: string): void {
    this.#clear()
    this.#output.err(`Interrupted. ${hint}\n`)
  }

  #progress(event: Progress): void {
    this.#first ??= event
    const now = performance.now()
    if (now - this.#printedAt < (this.#json ? PROGRESS_JSON_MS : PROGRESS_BAR_MS)) return
    this.#printedAt = now
    const secondsLeft = this.#secondsLeft(event, now)
    if (this.#json) return this.#line({ ...event, secondsLeft })
    if (!this.#terminal) return
    const left = secondsLeft === null ? '' : `, ${timeOf(secondsLeft)} left`
    this.#output.progress(
      `${event.blocks} of ${event.totalBlocks} blocks, ${mib(event.bytes)} of ${mib(event.totalBytes)} MiB${left}`,
    )
    this.#isShown = true
  }
  /** By what this run has copied so far. */
  #secondsLeft({ bytes, totalBytes }: Progress, now: number): number | null {
    const done = bytes - this.#first!.bytes
    if (done <= 0) return null
    return Math.round(((now - this.#startedAt) / 1000 / done) * (totalBytes - bytes))
  }
  #clear(): void {
    if (this.#isShown) this.#output.progress('')
    this.#isShown = false
  }
  #line(value: object): void {
    this.#output.data(`${JSON.stringify(value)}\n`)
  }
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(1)
function timeOf(seconds: number): string {
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
