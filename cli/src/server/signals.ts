/** What the operating system tells a running server. */

/** Exit code of a program that a signal ended, less the signal's number. */
const SIGNAL_EXIT = 128
const STOP_SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const

/**
 * Resolves at the first SIGINT or SIGTERM. The second one ends the process at once: somebody does not want to wait for
 * the drain, and `onImpatience` may end what must not outlive the process. `onReload` is called at each SIGHUP.
 */
export function stopSignal(onReload: () => void, onImpatience = () => {}): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let asked = false
  for (const [signal, number] of Object.entries(STOP_SIGNALS)) {
    takeOver(signal, () => {
      if (asked) {
        onImpatience()
        process.exit(SIGNAL_EXIT + number)
      }
      asked = true
      resolve()
    })
  }
  takeOver('SIGHUP', onReload)
  return promise
}

/** For a worker: who watches it hears the signals, those of a terminal or a service manager that reach both included. */
export function ignoreSignals(): void {
  for (const signal of [...Object.keys(STOP_SIGNALS), 'SIGHUP']) takeOver(signal, () => {})
}

/**
 * Listens to a signal in the place of the listeners that the program starts with. A signal that has arrived, and was not
 * told yet, is lost in the moment that nobody listens.
 */
function takeOver(signal: string, listener: () => void): void {
  const earlier = process.listeners(signal as NodeJS.Signals)
  process.on(signal, listener)
  for (const one of earlier) process.off(signal, one)
}

/** Rejects when an exception was caught nowhere: the process is in an unknown state and must end. */
export function uncaughtFailure(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  process.on('uncaughtException', reject)
  process.on('unhandledRejection', reject)
  return promise
}
