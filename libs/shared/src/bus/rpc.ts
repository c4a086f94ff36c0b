/**
 * Commands and internal requests over the bus: encoding, validation, dispatch. A service gives handlers by name; what
 * they return is the reply.
 *
 * A command travels with its context and the client's own bytes: the gateway never re-encodes these, nor the service's
 * reply. Within one process it travels as what the gateway has decoded, in an `Envelope` that nobody needs the bytes of.
 */
import { Budget } from '../budget.ts'
import type { Cancellation } from '../cancellation.ts'
import { parse } from '../codec/fields.ts'
import { decode, decodeOwn, type Encodable, encode } from '../codec/msgpack.ts'
import { ANSWER_MARGIN_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'
import type { ServiceName } from '../protocol/command.ts'
import type { Context } from '../protocol/context.ts'
import { type InternalName, type InternalReply, type InternalRequest, internalRequests } from '../protocol/internal.ts'
import { type CallerOf, type CommandName, commandsOf, type Reply, type Request } from '../protocol/registry.ts'
import type { OrganizationID } from '../protocol/types.ts'
import { isTraced, traced } from '../tracing.ts'
import type { Admission } from './admission.ts'
import type { Bus, Caller, Parcel, RequestOptions, Server, Subscription } from './bus.ts'
import { Contexts, Envelope, opened, requireUnderstood, SPOKEN } from './envelope.ts'
import * as subjects from './subjects.ts'

/** A client's command on its way to a service. */
export type Call<C extends Context = Context> = {
  context: C
  /** 16 hex digits, chosen by the gateway; in every log line that the command causes, in any service. */
  request_id: string
  log: Log
  budget: Budget
}
/** One handler per command of the service, named as in the protocol table. `Scope`: what the service gives to each. */
export type Handler<N extends CommandName, Scope = unknown> = (
  ctx: Call<CallerOf<N>> & Scope,
  request: Request<N>,
) => Promise<Reply<N>>
export type Handlers<N extends CommandName, Scope = unknown> = { readonly [K in N]: Handler<K, Scope> }

/** A request of another service. */
export type InternalCall = { log: Log; budget: Budget }
export type InternalHandlers<N extends InternalName, Scope = unknown> = {
  readonly [K in N]: (ctx: InternalCall & Scope, request: InternalRequest<K>) => Promise<InternalReply<K>>
}

/** What a service serves with. `scope` adds to a call what its handlers get besides, within the call's budget. */
export type Serving<Scope> = {
  bus: Bus
  service: ServiceName
  log: Log
  admission: Admission
  scope: <C extends InternalCall>(call: C) => Scope & C
}

/** What a message loses of the bus's `maxPayload` to its envelope. */
export const MAX_ENVELOPE_BYTES = 16 * 1024
/** Largest message from a client (spec 01 §6). */
export const MAX_CLIENT_MESSAGE_BYTES = limits.message.value

/** The largest message that clients may send over this bus. */
export const maxClientMessage = (bus: Bus): number =>
  Math.min(MAX_CLIENT_MESSAGE_BYTES, bus.maxPayload - MAX_ENVELOPE_BYTES)

/** Any handler: which context and request it gets, the protocol table says. */
type AnyHandler<Scope> = { handle(ctx: Scope, request: unknown): Promise<object> }['handle']

/** Serves the commands of a service: decodes, validates (`bad_message`), calls the handler, encodes. */
export async function serveCommands<N extends CommandName, Scope extends object>(
  { bus, service, log, admission, scope }: Serving<Scope>,
  handlers: Handlers<N, Scope>,
): Promise<Subscription> {
  const byName = new Map(Object.entries<AnyHandler<Scope & Call>>(handlers))
  const table = new Map(
    commandsOf(service).map(spec => {
      const handler = byName.get(spec.name)
      if (!handler) throw new Error(`${service} has no handler for ${spec.name}`)
      return [subjects.command(service, spec.name), { spec, handler }] as const
    }),
  )
  const contexts = new Contexts()
  const serve: Server = (payload, subject, parcel, caller) => {
    const entry = table.get(subject)
    if (!entry) throw new Unavailable(`${subjects.nameOf(subject)} is not known to this release`)
    const { context: sender, request_id, msLeft, message } = parcel instanceof Envelope ? parcel.told : opened(payload)
    const { spec, handler } = entry
    const context = contexts.read(sender)
    if (spec.adminOnly && context.kind === 'authenticated' && context.profile !== 'ADMIN')
      return refused({ status: 'not_allowed', reason: `User \`${context.user_id}\` is not admin` })
    const request = parse(spec.request, message)
    if (!request.ok) return refused({ status: 'bad_message', reason: 'Invalid message.', errors: request.errors })
    const budget = budgetOf(caller, msLeft)
    const { conn_id } = context
    const call = scope({ context, request_id, budget, log: log.child({ conn_id, request_id }) })
    const reply = admission.run(spec.lane, organizationOf(context), budget, () => handler(call, request.value))
    return encoded(reply, spec.name, call)
  }
  return bus.serve(subjects.everyCommandOf(service), service, tracedServer(service, serve))
}

/** Serves internal requests of a service: arrays of form, milliseconds left and request. */
export async function serveInternal<N extends InternalName, Scope extends object>(
  { bus, service, log, admission, scope }: Serving<Scope>,
  handlers: InternalHandlers<N, Scope>,
): Promise<Subscription> {
  const byName = new Map(Object.entries<AnyHandler<Scope & InternalCall>>(handlers))
  const serve: Server = (payload, subject, _parcel, caller) => {
    const name = subjects.nameOf(subject)
    const handler = byName.get(name)
    if (!handler) throw new Unavailable(`${name} is not known to this release`)
    const [form, msLeft, request] = decode(payload) as [number, number, InternalKeys]
    requireUnderstood(form)
    const budget = budgetOf(caller, msLeft)
    const key = request.organization_id ?? request.context?.organization_id ?? ''
    const call = scope({ log, budget })
    const reply = admission.run(internalRequests[name as N].lane, key, budget, () => handler(call, request))
    return encoded(reply, name, call)
  }
  return bus.serve(subjects.everyInternalOf(service), service, tracedServer(service, serve))
}
const refused = (reply: Encodable): Promise<Buffer> => Promise.resolve(encode(reply))

/** A reply as it travels. Whatever went wrong is in the log. */
async function encoded(reply: Promise<object>, name: string, { log, budget }: InternalCall): Promise<Buffer> {
  try {
    return encode((await reply) as Encodable)
  } catch (error) {
    reportFailure(log, name, error)
    throw error
  } finally {
    log.debug('Served', () => ({ cmd: name, ms: Math.round(budget.msPassed * 10) / 10 }))
  }
}

const tracedServer =
  (service: ServiceName, serve: Server): Server =>
  (payload, subject, parcel, caller) => {
    if (!isTraced()) return serve(payload, subject, parcel, caller)
    const name = `${service} ${subjects.nameOf(subject)}`
    return traced(
      () => ({ name, kind: 'server', service, attributes: {}, parent: caller.traceparent }),
      () => serve(payload, subject, parcel, caller),
    )
  }

/** Where an internal request says which organization it is about. */
type InternalKeys = { organization_id?: OrganizationID; context?: { organization_id: OrganizationID } }

const organizationOf = (context: Context): string => (context.kind === 'administration' ? '' : context.organization_id)

function budgetOf(caller: Caller, msLeft: number): Budget {
  const budget = new Budget(msLeft)
  caller.onGone = () => budget.cancel(CALLER_GONE)
  return budget
}
const CALLER_GONE = new Unavailable('nobody waits for the answer any more')

/** Bounds of an internal request, besides its own deadline: what is left of the budget, and a reason to give up. */
export type Within = { budget?: Budget | undefined; signal?: Cancellation | undefined }

/** Asks the service that answers `name`. Rejects with `Unavailable` or `RemoteFailure`. */
export async function callInternal<N extends InternalName>(
  bus: Bus,
  name: N,
  request: InternalRequest<N>,
  { budget, signal = budget }: Within = {},
): Promise<InternalReply<N>> {
  const { service, deadlineMs } = internalRequests[name]
  const timeoutMs = budget ? budget.share(deadlineMs) : deadlineMs
  const message = [SPOKEN, serviceShare(timeoutMs), request]
  const reply = await ask(bus, subjects.internal(service, name), encode(message), {
    timeoutMs,
    owned: true,
    signal,
  })
  return decodeOwn(reply)
}

/** Asks over the bus, as a part of the trace that is under way. */
export function ask(bus: Bus, subject: string, payload: Buffer | Parcel, options: RequestOptions): Promise<Buffer> {
  if (!isTraced()) return bus.request(subject, payload, options)
  const attributes = { 'messaging.destination.name': subject, 'messaging.message.body.size': payload.length }
  return traced(
    () => ({ name: `bus ${subject}`, kind: 'client', attributes }),
    work => bus.request(subject, payload, { ...options, traceparent: work?.traceparent }),
  )
}

/** What a service gets of the time that its caller waits. */
export const serviceShare = (timeoutMs: number): number => Math.max(Math.floor(timeoutMs - ANSWER_MARGIN_MS), 0)

function reportFailure(log: Log, name: string, error: unknown): void {
  if (error === CALLER_GONE) return
  if (error instanceof Unavailable) log.warning('Service unavailable', { cmd: name, cause: error.message })
  else log.error('Unexpected crash', { cmd: name, error })
}
