/**
 * Bounds how many operations run on a back end at once. The others wait: owners (organizations) in turn, each owner's in
 * the order of their arrival. No owner has all places, so that one whose operations hang leaves room for the others.
 */
import { abortedBy, orAborted } from './deadline.ts'

/** The part of the places that is kept from any single owner: one of so many. */
const SPARED = 4

type Enter = () => void

export class NodeQueue {
  readonly #share: number
  #free: number
  readonly #running = new Map<string, number>()
  /** In the order of their turn. */
  readonly #waiting = new Map<string, Set<Enter>>()
  constructor(width: number) {
    this.#free = width
    this.#share = width - Math.floor(width / SPARED)
  }

  /**
   * Runs `work` when a place is free. Rejects with `StoreError` as soon as the signal aborts; the place stays taken
   * until `work` has really ended.
   */
  async run<T>(owner: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw abortedBy(signal)
    if (this.#mayEnter(owner)) this.#take(owner)
    else await this.#place(owner, signal)
    const running = work()
    const leave = () => this.#leave(owner)
    running.then(leave, leave)
    return orAborted(running, signal)
  }

  #mayEnter(owner: string): boolean {
    return this.#free > 0 && (this.#running.get(owner) ?? 0) < this.#share
  }
  #take(owner: string): void {
    this.#free--
    this.#running.set(owner, (this.#running.get(owner) ?? 0) + 1)
  }

  #place(owner: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = () => {
        this.#forget(owner, enter)
        reject(abortedBy(signal))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const queue = this.#waiting.get(owner) ?? new Set()
      this.#waiting.set(owner, queue.add(enter))
    })
  }

  #leave(owner: string): void {
    this.#free++
    const left = this.#running.get(owner)! - 1
    if (left > 0) this.#running.set(owner, left)
    else this.#running.delete(owner)
    this.#admit()
  }

  /** Hands a free place to the owner whose turn it is; its next one comes after all others'. */
  #admit(): void {
    for (const [owner, queue] of this.#waiting) {
      if (!this.#mayEnter(owner)) continue
      const [next] = queue
      this.#forget(owner, next!)
      if (queue.size > 0) {
        this.#waiting.delete(owner)
        this.#waiting.set(owner, queue)
      }
      this.#take(owner)
      next!()
      return
    }
  }
  #forget(owner: string, enter: Enter): void {
    const queue = this.#waiting.get(owner)
    queue?.delete(enter)
    if (queue?.size === 0) this.#waiting.delete(owner)
  }
}
