/** The life of a service, and of a group of services that one process runs. */
import { DRAIN_LATE_MS, DRAIN_RESERVE_MS, SHUT_DOWN_MS, SHUT_DOWN_STEP_MS } from './deadlines.ts'
import type { Log } from './log.ts'
import type { ReplicaAnswers } from './protocol/replica.ts'

/** What `/readyz` shows; `detail` names what is missing or degraded. */
export type Readiness = { ready: boolean; detail: { readonly [name: string]: string } }

/** Made by `start…(deps)`, which resolves when the service works. */
export type Service = {
  readonly name: string
  /** What only this replica can tell. */
  readonly answers?: ReplicaAnswers
  readiness(): Readiness
  /** Stops taking work and finishes what it has, within `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>
  /** Frees everything; nothing of the service runs afterwards. */
  stop(): Promise<void>
}

/** Something that a process closes when its services have stopped. */
export type Closer = { readonly name: string; close(): Promise<void> | undefined }

/**
 * Drains in reverse order of start within `drainMs` together, then stops the services and closes the rest within
 * `SHUT_DOWN_MS`. A step that fails or is late is logged and left behind: it does not stop the others.
 */
export async function shutDown(
  services: readonly Service[],
  rest: readonly Closer[],
  log: Log,
  drainMs: number,
): Promise<void> {
  const drained = performance.now() + drainMs
  const reserveMs = Math.min(DRAIN_RESERVE_MS, drainMs / 4)
  for (const [i, service] of services.toReversed().entries()) {
    // What clients are connected to comes first, and leaves time for the services that it asks.
    const behind = services.length - 1 - i
    const deadlineMs = Math.max(drained - performance.now() - reserveMs * behind, 0)
    await step(log, service.name, 'drain', deadlineMs + DRAIN_LATE_MS, () => service.drain(deadlineMs))
  }
  const end = performance.now() + SHUT_DOWN_MS
  const left = () => Math.max(Math.min(SHUT_DOWN_STEP_MS, end - performance.now()), 0)
  for (const service of services.toReversed()) await step(log, service.name, 'stop', left(), async () => service.stop())
  for (const { name, close } of rest) await step(log, name, 'close', left(), async () => close())
}

async function step(
  log: Log,
  service: string,
  what: string,
  deadlineMs: number,
  run: () => Promise<void>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${Math.round(deadlineMs)} ms`)), deadlineMs)
  })
  try {
    await Promise.race([run(), late])
  } catch (error) {
    log.error('Service did not end in order', { service, step: what, error })
  } finally {
    clearTimeout(timer)
  }
}
