/**
 * Which requests of a service run and which wait. Heavy ones have a lane of their own, so that they cannot starve light
 * ones; in each lane organizations take turns and none may fill it; what cannot begin within its deadline is refused at
 * once. A request that meets no queue pays for a look at two counters.
 */

import { Bag } from '../bag.ts'
import type { Budget } from '../budget.ts'
import { LANE_LEARNING_MS, LANE_REMEMBERED_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Lane } from '../protocol/command.ts'

/** `width`: most requests that run; `share`: most of one organization; `queue`: most that wait. */
export type GateOptions = { width: number; share: number; queue: number }
export type GateFigures = { running: number; waiting: number; refused: number; waitedSeconds: number }

type Waiter = { start(): void }

/** Of so many of whom nothing runs, too, a gate knows how much runs (see `Bag` for why). */
const REMEMBERED_KEYS = 1_000

/** Lets in so many at once, in turns by `key`. */
export class Gate {
  readonly #options: GateOptions
  #running = 0
  readonly #runningOf = new Map<string, number>()
  /** In the order of their turns. Whoever waits while the gate is not full has its share already. */
  readonly #queues = new Map<string, Set<Waiter>>()
  #waiting = 0
  #refused = 0
  #waitedMs = 0
  /** So many have ended since then, while somebody waits. */
  #ends = 0
  #since = 0

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** Undefined: come in. Otherwise resolves when it is so; rejects with `Unavailable` when it never will be in time. */
  enter(key: string, budget: Budget): Promise<void> | undefined {
    const count = this.#runningOf.get(key) ?? 0
    if (this.#running < this.#options.width && count < this.#options.share) {
      this.#running++
      this.#runningOf.set(key, count + 1)
      return undefined
    }
    return this.#wait(key, budget)
  }
  /** Each that came in leaves, once. */
  leave(key: string): void {
    this.#running--
    const count = this.#runningOf.get(key)! - 1
    if (count === 0 && this.#runningOf.size > REMEMBERED_KEYS) this.#runningOf.delete(key)
    else this.#runningOf.set(key, count)
    if (this.#waiting === 0) return
    this.#ends++
    const passed = performance.now() - this.#since
    if (passed > LANE_REMEMBERED_MS) {
      this.#since += passed / 2
      this.#ends /= 2
    }
    this.#startNext()
  }
  figures(): GateFigures {
    return {
      running: this.#running,
      waiting: this.#waiting,
      refused: this.#refused,
      waitedSeconds: this.#waitedMs / 1000,
    }
  }

  #wait(key: string, budget: Budget): Promise<void> {
    const now = performance.now()
    if (this.#waiting === 0) {
      this.#since = now
      this.#ends = 0
    }
    const own = this.#queues.get(key)?.size ?? 0
    const turns = (own + 1) * Math.max(this.#queues.size, 1)
    const passed = now - this.#since
    const isTooSlow = passed > LANE_LEARNING_MS && (turns * passed) / Math.max(this.#ends, 1) > budget.msLeft
    const { queue } = this.#options
    // An organization may fill half of the queue.
    if (this.#waiting >= queue || own >= queue / 2 || isTooSlow) {
      this.#refused++
      return Promise.reject(new Unavailable('too much to do'))
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        start: () => {
          budget.removeEventListener('abort', onAbort)
          this.#waitedMs += performance.now() - now
          resolve()
        },
      }
      const onAbort = () => {
        this.#forget(key, waiter)
        this.#refused++
        reject(budget.reason)
      }
      if (budget.aborted) return reject(budget.reason)
      budget.addEventListener('abort', onAbort)
      let waiting = this.#queues.get(key)
      if (!waiting) this.#queues.set(key, (waiting = new Set()))
      waiting.add(waiter)
      this.#waiting++
    })
  }
  #forget(key: string, waiter: Waiter): void {
    const waiting = this.#queues.get(key)!
    waiting.delete(waiter)
    this.#waiting--
    if (waiting.size === 0) this.#queues.delete(key)
  }
  #startNext(): void {
    for (const [key, waiting] of this.#queues) {
      if (this.#running >= this.#options.width) return
      const count = this.#runningOf.get(key) ?? 0
      if (count >= this.#options.share) continue
      const [waiter] = waiting
      this.#forget(key, waiter!)
      // Behind the others until its next turn.
      if (this.#queues.delete(key)) this.#queues.set(key, waiting)
      this.#running++
      this.#runningOf.set(key, count + 1)
      waiter!.start()
    }
  }
}

/** Both lanes of a service, and the budgets of all that runs or waits. */
export class Admission {
  readonly #gates: { readonly [L in Lane]: Gate }
  readonly #budgets = new Bag<Budget>()
  #stopped: Unavailable | undefined

  constructor(options: { readonly [L in Lane]: GateOptions }) {
    this.#gates = { light: new Gate(options.light), heavy: new Gate(options.heavy) }
  }

  /** Does `work` when its turn has come; `key` is who must not fill the lane. Ends the budget. */
  async run<T>(lane: Lane, key: string, budget: Budget, work: () => Promise<T>): Promise<T> {
    const gate = this.#gates[lane]
    if (this.#stopped) throw this.#stopped
    this.#budgets.add(budget)
    try {
      const turn = gate.enter(key, budget)
      if (turn) await turn
      try {
        return await work()
      } finally {
        gate.leave(key)
      }
    } finally {
      this.#budgets.delete(budget)
      budget.end()
    }
  }

  /** Whatever runs or waits is given up, and nothing begins any more. */
  stop(reason: Unavailable): void {
    this.#stopped = reason
    for (const budget of this.#budgets.all()) budget.cancel(reason)
  }
  figures(): { readonly [L in Lane]: GateFigures } {
    return { light: this.#gates.light.figures(), heavy: this.#gates.heavy.figures() }
  }
}

/** The queue of a narrow lane: all devices of an organization may come back at once, each with its heavy requests. */
const MIN_QUEUE = 4096

/**
 * Lanes of a service that runs at most `heavy` heavy requests; an organization may have half of each. The light one is
 * wide enough for commands that gather inside their handlers before they need a connection.
 */
export function admissionOf(heavy: number): Admission {
  const gate = (width: number): GateOptions => ({
    width,
    share: Math.ceil(width / 2),
    queue: Math.max(width * limits.waiting_commands.value, MIN_QUEUE),
  })
  return new Admission({ light: gate(limits.light_commands.value), heavy: gate(heavy) })
}
