/**
 * What is under way, told to whoever traces it (`cli/src/server/traces.ts`). While nobody does, a piece of work costs one
 * look at a channel without listeners.
 */
import { tracingChannel } from 'node:diagnostics_channel'

export type Work = {
  readonly name: string
  /** Whether it is asked for by somebody else, or asks somebody else. */
  readonly kind: 'server' | 'client'
  /** Whose it is, unless that of what it is a part of. */
  readonly service?: string
  /** Names and numbers; never what a message holds, nor a secret. May get more until the work has ended. */
  readonly attributes: { [name: string]: string | number }
  /** `null`: a trace begins here. A text: that of the asker, from elsewhere. Undefined: a part of what is under way. */
  readonly parent?: string | null | undefined
  /** Its own as W3C Trace Context has it, for those who are asked: set before the work begins, where it is traced. */
  traceparent?: string
  /** How it failed: set by the channel. */
  error?: unknown
}

/** Where a piece of work is in its trace. */
export type Span = {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly service: string
  /** Whether it is sent; those under it are as it is. */
  readonly isSampled: boolean
  readonly startedAt: number
}

export const WORK = tracingChannel<Work, Span | undefined>('parsec.work')

/** Whether somebody traces: whoever asks first need not even make what `traced` is given. */
export const isTraced = (): boolean => WORK.hasSubscribers

/** Runs a piece of work; `run` gets its description where it is traced. */
export function traced<T>(describe: () => Work, run: (work?: Work) => Promise<T>): Promise<T> {
  if (!isTraced()) return run()
  const work = describe()
  return WORK.tracePromise(() => run(work), work)
}
