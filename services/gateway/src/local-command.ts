/** A command that the gateway answers itself, since it waits for somebody else, or for an event. */
import { decodeContext, type EncodedContext } from '@parsec/shared/bus/envelope'
import type { Encodable } from '@parsec/shared/codec/msgpack'
import type { Context } from '@parsec/shared/protocol/context'
import type { CommandName, Request } from '@parsec/shared/protocol/registry'
import type { EventHub } from './events/hub.ts'

/** What the caller of a local command can do; only a WebSocket can listen to events. */
export interface LocalCaller {
  subscribe(hub: EventHub, keys: { organization: number; user: number }): Promise<void>
  /** The oldest event; undefined when there is none. */
  nextEvent(): Buffer | undefined
  /**
   * From now on the next message cancels the command in progress. One that writes before it waits says so only then,
   * so that it writes undisturbed.
   */
  letCancel(): void
  /** The next message has come already. */
  readonly hasMore: boolean
}

/** A command on its way to a local handler. */
export class LocalCall {
  readonly request_id: string
  readonly caller: LocalCaller | null
  readonly #context: EncodedContext
  #abort: AbortController | undefined
  constructor(context: EncodedContext, request_id: string, caller: LocalCaller | null) {
    this.#context = context
    this.request_id = request_id
    this.caller = caller
  }
  /** Connections keep their context encoded, as nearly all commands need it; decoded here for the few that do not. */
  context<C extends Context>(): C {
    return decodeContext(this.#context)
  }
  /** Aborts when the client leaves, or sends another message to a command that this cancels. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }
  abort(reason?: Error): void {
    this.#abort?.abort(reason)
  }
}

/**
 * What a local handler answers: a reply, encoded or not, `LATER` when an event will be the reply, or `GONE` when the
 * invitation of the client has been deleted: then there is none.
 */
export type LocalReply = Encodable | typeof LATER | typeof GONE
export const LATER = Symbol('reply comes with the next event')
export const GONE = Symbol('invitation deleted')
export type LocalHandler<N extends CommandName> = (
  call: LocalCall,
  request: Request<N>,
) => LocalReply | Promise<LocalReply>
/** Any of them: which request it gets, the protocol table says. */
type AnyLocalHandler = { handle(call: LocalCall, request: unknown): LocalReply | Promise<LocalReply> }['handle']
/** Handlers by the name of the command in the protocol table. */
export type LocalCommands = ReadonlyMap<string, AnyLocalHandler>
