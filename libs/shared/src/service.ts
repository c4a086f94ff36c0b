/** The life of a service, and of a group of services that one process runs. */
import type { Log } from './log.ts'

/** What `/readyz` shows; `detail` names what is missing or degraded. */
export type Readiness = { ready: boolean; detail: { readonly [name: string]: string } }

/** Made by `start…(deps)`, which resolves when the service works. */
export type Service = {
  readonly name: string
  readiness(): Readiness
  /** Stops taking work and finishes what it has, within `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>
  /** Frees everything; nothing of the service runs afterwards. */
  stop(): Promise<void>
}

/** Drains, then stops, in reverse order of start; a step that fails or is late is logged and does not stop the others. */
export async function shutDown(services: readonly Service[], log: Log, drainMs: number): Promise<void> {
  for (const service of services.toReversed())
    await step(log, service.name, 'drain', drainMs + 1_000, () => service.drain(drainMs))
  for (const service of services.toReversed()) await step(log, service.name, 'stop', 5_000, () => service.stop())
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
    timer = setTimeout(() => reject(new Error(`not done within ${deadlineMs} ms`)), deadlineMs)
  })
  try {
    await Promise.race([run(), late])
  } catch (error) {
    log.error('Service did not end in order', { service, step: what, error })
  } finally {
    clearTimeout(timer)
  }
}
