/** Waits that end: a deadline for a piece of work, and a promise that gives up when its signal aborts. */
import { StoreError } from './store.ts'

/** The error that an aborted signal stands for: what the store did not do in time, or nobody wants any more. */
export const abortedBy = (signal: AbortSignal): StoreError =>
  signal.reason instanceof StoreError
    ? signal.reason
    : new StoreError(String(signal.reason?.message ?? 'aborted'), { cancelled: true, cause: signal.reason })

/**
 * Runs `body` with a signal that aborts after `ms` milliseconds or together with `parent`; `extend` counts anew. Nothing
 * of it outlives `body`, unlike `AbortSignal.timeout`, whose timers would pile up under load.
 */
export async function withDeadline<T>(
  parent: AbortSignal | null,
  ms: number,
  body: (signal: AbortSignal, extend: (ms: number) => void) => Promise<T>,
  /** Whether to abort for a reason of `parent`. */
  heeds: (reason: unknown) => boolean = () => true,
): Promise<T> {
  const controller = new AbortController()
  const onAbort = () => {
    if (heeds(parent?.reason)) controller.abort(parent?.reason)
  }
  if (parent?.aborted) onAbort()
  parent?.addEventListener('abort', onAbort, { once: true })
  let timer: NodeJS.Timeout | undefined
  const extend = (ms: number) => {
    clearTimeout(timer)
    timer = setTimeout(() => controller.abort(new StoreError(`not done within ${Math.round(ms)} ms`)), ms)
  }
  extend(ms)
  try {
    return await body(controller.signal, extend)
  } finally {
    clearTimeout(timer)
    parent?.removeEventListener('abort', onAbort)
  }
}

/** Runs `body` with a signal that aborts together with `parent`, and at the end: what is still running is not needed. */
export async function withCancel<T>(parent: AbortSignal, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const onAbort = () => controller.abort(parent.reason)
  if (parent.aborted) onAbort()
  parent.addEventListener('abort', onAbort, { once: true })
  try {
    return await body(controller.signal)
  } finally {
    parent.removeEventListener('abort', onAbort)
    controller.abort(new StoreError('not needed any more', { cancelled: true }))
  }
}

/** `work`, or the signal's `StoreError` as soon as it aborts; what `work` does afterwards is ignored. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedBy(signal))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Resolves after `ms` milliseconds, or rejects with the signal's `StoreError`. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  try {
    await orAborted(
      new Promise<void>(resolve => {
        timer = setTimeout(resolve, ms)
      }),
      signal,
    )
  } finally {
    clearTimeout(timer)
  }
}
