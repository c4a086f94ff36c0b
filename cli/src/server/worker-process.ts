/** One worker as the process that watches it sees it. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { getHeapStatistics } from 'node:v8'
import { SHUT_DOWN_MS } from '@parsec/shared/deadlines'
import { placeVariables, type WorkerPlace } from './worker-place.ts'

/** Of a worker's heap, in MiB. */
const LEAST_HEAP = 256

export class WorkerProcess {
  readonly startedAt = performance.now()
  isReady = false
  /** Resolves with what became of it. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  #reason: string | undefined

  /** The same program with the same arguments, in a place of its own. */
  constructor(place: WorkerPlace) {
    const argv = [...process.execArgv, ...heapShare(place.of), process.argv[1]!, ...process.argv.slice(2)]
    this.#child = spawn(process.execPath, argv, {
      env: { ...process.env, ...placeVariables(place) },
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    })
    this.ended = new Promise(resolve => {
      this.#child.once('error', error => resolve(error.message))
      this.#child.once('exit', (code, signal) => resolve(this.#reason ?? signal ?? `exit code ${code}`))
    })
  }
  get pid(): number | undefined {
    return this.#child.pid
  }
  get isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }
  /** To the bus inside it; null when it could not even be started. */
  get stream(): Duplex | null {
    return (this.#child.stdio[3] as Duplex | null | undefined) ?? null
  }

  /** Whoever hangs is ended at once; whoever is ending by itself has the time that it needs. */
  lost(reason: string, isEnding: boolean): void {
    const timer = setTimeout(() => this.kill(reason), isEnding ? SHUT_DOWN_MS : 0)
    void this.ended.then(() => clearTimeout(timer))
  }
  kill(reason: string): void {
    if (this.isOver) return
    this.#reason = reason
    this.#child.kill('SIGKILL')
  }
}

/** Together they take no more than one process would, unless the operator has said how much. */
function heapShare(workers: number): string[] {
  const isSaid = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some(text =>
    text.includes('max-old-space-size'),
  )
  if (isSaid) return []
  const share = Math.floor(getHeapStatistics().heap_size_limit / workers / 1_048_576)
  return [`--max-old-space-size=${Math.max(share, LEAST_HEAP)}`]
}
