/** Work that is done every so often, for as long as the service runs: by the clock, whatever became of the last time. */
import { Budget } from '@parsec/shared/budget'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'

export type PeriodicOptions = {
  /** For the log. */
  name: string
  everyMs: number
  /** One run gives up after so long; until then no other begins. */
  deadlineMs: number
  log: Log
  work: (budget: Budget) => Promise<void>
}

export class Periodic {
  readonly #options: PeriodicOptions
  #timer: NodeJS.Timeout | undefined
  #isStopped = false
  #running: { budget: Budget; end: Promise<void> } | undefined

  constructor(options: PeriodicOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => this.#begin(), this.#options.everyMs)
  }
  /** No run begins any more, and one that goes on is given up. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#isStopped = true
    this.#running?.budget.cancel(new Unavailable('the server stops'))
    await this.#running?.end
  }

  #begin(): void {
    if (this.#running) return
    const { name, deadlineMs, log, work } = this.#options
    const budget = new Budget(deadlineMs)
    const end = budget
      .race(work(budget))
      .catch(error => {
        if (!(error instanceof Unavailable)) log.error('Unexpected crash', { cmd: name, error })
        else if (!this.#isStopped) log.warning('Service unavailable', { cmd: name, cause: error.message })
      })
      .finally(() => {
        budget.end()
        this.#running = undefined
      })
    this.#running = { budget, end }
  }
}
