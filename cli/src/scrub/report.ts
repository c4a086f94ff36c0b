/** What a scrub prints: lines for people with a progress bar on a terminal, or one JSON object a line. */

import { outcomeOf, type ScrubEvent, type ScrubState } from '@parsec/blockstore/scrub/state'
import { PROGRESS_BAR_MS, PROGRESS_JSON_MS } from '@parsec/shared/deadlines'
import { EXIT_OK, type Output, plain } from '../command-line/output.ts'

/** Something was wrong and is repaired; something is wrong still, or could not be checked. */
export const EXIT_REPAIRED = 3
export const EXIT_DAMAGED = 4

/** Milliseconds between two prints of the progress. */
const BAR_WIDTH = 30

export class ScrubReport {
  readonly #output: Output
  readonly #json: boolean
  readonly #bar: boolean
  #printedAt = 0
  #shown = false

  /** `terminal`: whether `output.err` goes to one. */
  constructor(output: Output, { json, terminal }: { json: boolean; terminal: boolean }) {
    this.#output = output
    this.#json = json
    this.#bar = terminal && !json
  }

  event(event: ScrubEvent): void {
    if (event.kind === 'progress') return this.#progress(event)
    if (this.#json) return this.#line(event)
    this.#clearBar()
    this.#output.out(`${plain(textOf(event))}\n`)
  }
  /** The summary; returns the exit code. */
  end(state: ScrubState): number {
    const outcome = outcomeOf(state)
    this.#clearBar()
    const { blocks, objects, young = 0, counts } = state
    if (this.#json) this.#line({ kind: 'end', outcome, blocks, young, objects, ...counts })
    else this.#output.out(summaryOf(state))
    return { clean: EXIT_OK, repaired: EXIT_REPAIRED, damaged: EXIT_DAMAGED }[outcome]
  }
  interrupted(hint: string): void {
    this.#clearBar()
    this.#output.err(`Interrupted. ${hint}\n`)
  }

  #progress(event: Extract<ScrubEvent, { kind: 'progress' }>): void {
    if (!this.#json && !this.#bar) return
    const now = performance.now()
    if (now - this.#printedAt < (this.#json ? PROGRESS_JSON_MS : PROGRESS_BAR_MS)) return
    this.#printedAt = now
    if (this.#json) return this.#line(event)
    this.#output.progress(barOf(event))
    this.#shown = true
  }
  #clearBar(): void {
    if (this.#shown) this.#output.progress('')
    this.#shown = false
  }
  #line(value: object): void {
    this.#output.data(`${JSON.stringify(value)}\n`)
  }
}

function barOf({ phase, done, total }: Extract<ScrubEvent, { kind: 'progress' }>): string {
  if (total === null) return `looking for orphans: ${done} objects`
  const part = total === 0 ? 1 : Math.min(done / total, 1)
  const filled = Math.round(part * BAR_WIDTH)
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${Math.floor(part * 100)} %, ${done} of ${total} ${phase}`
}

function textOf(event: Exclude<ScrubEvent, { kind: 'progress' }>): string {
  switch (event.kind) {
    case 'damaged':
      return `damaged: ${event.key}: what is left of it is not enough, or contradicts itself`
    case 'unchecked':
      return `unchecked: ${event.key}: too few nodes answer`
    case 'orphan':
      return `orphan${event.removed ? ' removed' : ''}: ${event.key} on node ${event.node} (${event.name}), ${event.written_on === null ? 'of unknown age' : `written ${event.written_on}`}`
    default:
      return `${event.kind}${event.repaired ? ', repaired' : ''}: ${event.key} on node ${event.node} (${event.name})`
  }
}

function summaryOf(state: ScrubState): string {
  const { blocks, objects, young = 0, counts } = state
  const { missing, corrupt, unreadable, repaired, damaged, unchecked, orphans, removed, strangers } = counts
  const lines = [
    `Blocks: ${blocks} compared; pieces: ${missing} missing, ${corrupt} corrupt, ${unreadable} unreadable, ${repaired} repaired`,
    `Objects: ${objects} looked at; ${orphans} orphans, ${removed} removed; ${strangers} of another server, left alone`,
    ...(young > 0
      ? [`${young} blocks are not a minute old and were left alone: scrub again to have them compared`]
      : blocks === 0
        ? ['There was no block to compare']
        : []),
    ...(damaged > 0 ? [`${damaged} blocks are damaged beyond repair`] : []),
    ...(unchecked > 0 ? [`${unchecked} could not be checked`] : []),
  ]
  return `${lines.join('\n')}\nScrub: ${outcomeOf(state)}\n`
}
