/**
 * The form of an entry of the protocol table. One entry per command says who may call it, which service answers,
 * what a request and its replies look like; routing, validation, types, metrics and docs are derived from it.
 */
import { z } from 'zod'
import type { Encodable, Value } from '../codec/msgpack.ts'
import type { DateTime, Float } from '../codec/values.ts'
import { METADATA_DEADLINE_MS } from '../deadlines.ts'
import type { Context, ContextOf } from './context.ts'
import type { ClientKind } from './types.ts'

/** As people are shown them; what each needs and how it starts is in the command line's table of services. */
export const SERVICE_NAMES = ['gateway', 'metadata', 'blockstore', 'admin'] as const
export type ServiceName = (typeof SERVICE_NAMES)[number]

/**
 * Where a command queues when there is much to do (DESIGN §11). `heavy`: what it costs grows with the organization, the
 * realm or the batch, so few of them run at once.
 */
export type Lane = 'light' | 'heavy'

/** What decides about a command's deadline besides its name. */
export type Asked = {
  readonly message: { readonly [field: string]: Value }
  /** Whether the caller's organization is. */
  readonly sequestered: boolean
}

/** Majors that share one set of commands: `v1`, and `v2` for 2 and 3. */
export type Era = 'v1' | 'v2'
export const eraOf = (major: number): Era => (major === 1 ? 'v1' : 'v2')

export type Callers<K extends ClientKind = ClientKind> = { readonly v1?: readonly K[]; readonly v2?: readonly K[] }

export type SlowCase = { readonly when: (asked: Asked) => boolean; readonly deadlineMs: number }

export type CommandSpec<
  Name extends string = string,
  K extends ClientKind = ClientKind,
  Request = unknown,
  Reply = unknown,
> = {
  /** Name on the wire. */
  readonly cmd: string
  /** Name of the handler: `cmd`, but for API v1 commands whose namesake differs in later majors. */
  readonly name: Name
  /** The kinds of client that may call it, per era (spec 01 §12). */
  readonly callers: Callers<K>
  readonly service: ServiceName
  readonly lane: Lane
  /** Milliseconds that the gateway waits for an answer. */
  readonly deadlineMs: number
  /** … and when the service has to ask somebody outside for it. */
  readonly slow: SlowCase | null
  readonly request: z.ZodType<Request>
  /** Statuses besides `ok`, in the order of the specification. */
  readonly statuses: readonly string[]
  /** Replaced by an unanswered wait in the gateway: the next message of the client cancels the command (spec 01 §6). */
  readonly cancellable: boolean
  /** Other profiles get `not_allowed`, before the request is looked at. */
  readonly adminOnly: boolean
  /** The first API revision that has it, for the documentation. */
  readonly since: string
  /** Served by a later release of this server; until then clients get `unknown_command`. */
  readonly pending: boolean
  readonly section: string
  /** Only its type is used. */
  readonly reply?: Reply
}

type Fields = z.ZodRawShape
type Infer<S extends Fields> = z.infer<z.ZodObject<S>>

/** Extra fields that some refusals carry. */
type StatusFields<S extends string> = S extends 'bad_timestamp'
  ? {
      ballpark_client_early_offset: Float
      ballpark_client_late_offset: Float
      backend_timestamp: DateTime
      client_timestamp: DateTime
    }
  : S extends 'require_greater_timestamp'
    ? { strictly_greater_than: DateTime }
    : S extends 'invalid_certification'
      ? { reason: string }
      : { [field: string]: Encodable | undefined }

type Definition<Name extends string, K extends ClientKind, S extends string> = {
  name: Name
  cmd?: string
  callers: Callers<K>
  service?: ServiceName
  lane?: Lane
  deadlineMs?: number
  slow?: SlowCase
  request: Fields | z.ZodType
  statuses?: readonly S[]
  cancellable?: boolean
  adminOnly?: boolean
  since?: string
  pending?: boolean
  section: string
}

type RequestOf<R> = R extends z.ZodType ? z.infer<R> : R extends Fields ? Infer<R> : never

/**
 * Declares a command; `Ok` is the type of the fields of its `ok` reply.
 * Written `command<{ pong: string }>()({ … })`, since TypeScript infers all type arguments of a call or none.
 */
export const command =
  <Ok extends { [K in keyof Ok]: unknown } = Record<never, never>>() =>
  <
    const Name extends string,
    const K extends ClientKind,
    const S extends string = never,
    const R extends Fields | z.ZodType = Fields,
  >(
    definition: Omit<Definition<Name, K, S>, 'request'> & { request: R },
  ): CommandSpec<Name, K, RequestOf<R>, ({ status: 'ok' } & Ok) | Refusal<S>> => ({
    cmd: definition.cmd ?? definition.name,
    name: definition.name,
    callers: definition.callers,
    service: definition.service ?? 'metadata',
    lane: definition.lane ?? 'light',
    deadlineMs: definition.deadlineMs ?? METADATA_DEADLINE_MS,
    slow: definition.slow ?? null,
    request: (definition.request instanceof z.ZodType
      ? definition.request
      : z.object(definition.request as Fields)) as z.ZodType<RequestOf<R>>,
    statuses: definition.statuses ?? [],
    cancellable: definition.cancellable ?? false,
    adminOnly: definition.adminOnly ?? false,
    since: definition.since ?? '1.0',
    pending: definition.pending ?? false,
    section: definition.section,
  })

/** How long the gateway waits for the answer to such a command. */
export const deadlineOf = ({ deadlineMs, slow }: CommandSpec, asked: Asked): number =>
  slow?.when(asked) ? slow.deadlineMs : deadlineMs

/** A reply other than `ok`: an optional reason for people, and the fields of that status. */
export type Refusal<S extends string> = S extends string ? { status: S; reason?: string } & StatusFields<S> : never

export type RequestFor<C> = C extends CommandSpec<string, ClientKind, infer R, unknown> ? R : never
export type ReplyFor<C> = C extends CommandSpec<string, ClientKind, unknown, infer R> ? R : never
export type ContextFor<C> =
  C extends CommandSpec<string, infer K, unknown, unknown> ? ContextOf<K & Context['kind']> : never

/** Callers of most commands: authenticated clients of every major, or of majors 2 and 3 only. */
export const EVERY_AUTHENTICATED = { v1: ['authenticated'], v2: ['authenticated'] } as const
export const AUTHENTICATED = { v2: ['authenticated'] } as const
export const INVITED = { v2: ['invited'] } as const
