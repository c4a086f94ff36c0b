/**
 * Commands over HTTP: `/anonymous`, `/authenticated`, `/invited`, and the stream of events (spec 02 §8, §9). Each request
 * is authenticated alone. HTTP codes tell what is wrong with the request; what a command answers is always a 200.
 */
import { randomUUID } from 'node:crypto'
import type { Bus } from '@parsec/shared/bus/bus'
import { encodeContext } from '@parsec/shared/bus/envelope'
import { callInternal, maxClientMessage } from '@parsec/shared/bus/rpc'
import { verifyDetached } from '@parsec/shared/certificates/crypto'
import { organizationId, parse } from '@parsec/shared/codec/fields'
import { encode } from '@parsec/shared/codec/msgpack'
import { Unavailable } from '@parsec/shared/errors'
import type { AccessLog } from '@parsec/shared/http/access-log'
import { networkOf } from '@parsec/shared/http/client-address'
import { RateLimit } from '@parsec/shared/http/rate-limit'
import { limits } from '@parsec/shared/limits'
import type { Log } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { Context } from '@parsec/shared/protocol/context'
import type { DeviceFacts, OrganizationFacts } from '@parsec/shared/protocol/internal'
import { type OrganizationID, userOf } from '@parsec/shared/protocol/types'
import { type ApiVersion, formatVersion, releaseOf } from '@parsec/shared/protocol/versions'
import { traced } from '@parsec/shared/tracing'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Activity } from '../activity.ts'
import type { EventHub } from '../events/hub.ts'
import { GONE, LATER, LocalCall, type LocalCommands, type LocalReply } from '../local-command.ts'
import {
  beginning,
  type Forwarder,
  fieldsAtFault,
  isSequestered,
  readMessage,
  statusOf,
  toTenths,
} from '../websocket/forward.ts'
import { authenticatedContext } from '../websocket/handshake.ts'
import type { Seen } from '../websocket/seen.ts'
import {
  acceptsEventStream,
  apiVersions,
  authorOf,
  HTTP_API_VERSIONS_TEXT,
  invitationTokenOf,
  isMsgpack,
  NEWEST_API_VERSION,
  signatureOf,
} from './auth.ts'
import { EventStream } from './sse.ts'

/** HTTP codes of this protocol beside the standard ones. */
const ORGANIZATION_EXPIRED = 460
const USER_REFUSED = 461

const CLIENT_GONE = new Unavailable('the client has left')

/** Local commands that need a connection. */
const NEEDS_CONNECTION: ReadonlySet<string> = new Set(['events_subscribe', 'events_listen'])

export type RpcDeps = {
  bus: Bus
  hub: EventHub
  log: Log
  forwarder: Forwarder
  local: LocalCommands
  metrics: Metrics
  activity: Activity
  seen: Seen
  access: AccessLog
  sseKeepaliveSeconds: number
}

/** A request whose version and organization id are well-formed. */
type Call = {
  request: FastifyRequest
  reply: FastifyReply
  organization_id: OrganizationID
  caller: { conn_id: string; api_version: ApiVersion; release: Context['release'] }
}
type Device = { organization: OrganizationFacts; device: DeviceFacts }
type Route = (call: Call) => Promise<FastifyReply>

export class HttpRpc {
  readonly #deps: RpcDeps
  readonly #streams = new Set<EventStream>()
  /** Commands that wait for somebody. */
  readonly #waiting = new Set<LocalCall>()
  /** Anybody may submit one, and each is kept and told to everybody (spec 03 §7). */
  readonly #enrollments = new RateLimit(limits.enrollments_per_minute.value, 60_000)
  constructor(deps: RpcDeps) {
    this.#deps = deps
  }

  register(app: FastifyInstance): void {
    app.get('/anonymous/:organization_id', this.#route(this.#probe))
    app.post('/anonymous/:organization_id', this.#route(this.#anonymous))
    app.post('/authenticated/:organization_id', this.#route(this.#authenticated))
    app.post('/invited/:organization_id', this.#route(this.#invited))
    app.get('/authenticated/:organization_id/events', this.#route(this.#events))
  }
  /** Ends every stream of events, and every command that waits for somebody. */
  endStreams(why: string): void {
    for (const call of this.#waiting) call.abort(new Unavailable(why))
    for (const stream of this.#streams) stream.end(why)
  }

  /** The checks that all routes begin with, and what becomes of an outage. */
  #route(route: Route): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply> {
    return async (request, reply) => {
      const versions = apiVersions(request.headers)
      reply.header('api-version', formatVersion(versions?.server ?? NEWEST_API_VERSION))
      if (!versions) return reply.header('supported-api-versions', HTTP_API_VERSIONS_TEXT).code(422).send()
      const id = parse(organizationId(), (request.params as { organization_id: string }).organization_id)
      if (!id.ok) return reply.code(404).send()
      const release = releaseOf(request.headers['user-agent']) ?? null
      const conn_id = randomUUID().replaceAll('-', '')
      this.#deps.access.note(request.raw, { conn_id })
      const caller = { conn_id, api_version: versions.client, release }
      try {
        return await traced(
          () => beginning(`${request.method} ${request.routeOptions.url}`, conn_id),
          () => route.call(this, { request, reply, organization_id: id.value, caller }),
        )
      } catch (error) {
        this.#deps.activity.failure()
        if (!(error instanceof Unavailable) || reply.sent) throw error
        this.#deps.log.warning('Service unavailable', { organization_id: id.value, cause: error.message })
        return reply.code(503).send()
      }
    }
  }

  /** Does the organization exist? */
  async #probe({ request, reply, organization_id }: Call): Promise<FastifyReply> {
    const { organization } = await callInternal(this.#deps.bus, 'organization_find', { organization_id, create: false })
    if (!organization) return reply.code(404).send()
    if (organization.is_expired) return reply.code(ORGANIZATION_EXPIRED).send()
    if (!isMsgpack(request.headers)) return reply.code(415).send()
    return sendMsgpack(reply, encode({}))
  }

  async #anonymous(call: Call): Promise<FastifyReply> {
    const { request, reply, organization_id, caller } = call
    const { organization, spontaneous } = await callInternal(this.#deps.bus, 'organization_find', {
      organization_id,
      create: false,
    })
    if (!organization && !spontaneous) return reply.code(404).send()
    if (organization?.is_expired) return reply.code(ORGANIZATION_EXPIRED).send()
    if (!isMsgpack(request.headers)) return reply.code(415).send()
    const context: Context = { kind: 'anonymous', ...caller, organization_id }
    return this.#run(call, context, async cmd => {
      const submitter = `${networkOf(request.ip)} ${organization_id}`
      if (cmd === 'pki_enrollment_submit' && !this.#enrollments.take(submitter, performance.now())) return 429
      if (organization) return undefined
      if (cmd !== 'organization_bootstrap') return 404
      // Created before the command runs, so that it stays when the command is refused (spec 02 §3.1.4).
      await callInternal(this.#deps.bus, 'organization_find', { organization_id, create: true })
      return undefined
    })
  }

  async #authenticated(call: Call): Promise<FastifyReply> {
    const { request, reply, organization_id, caller } = call
    const device = await this.#identify(call, request.body as Buffer, isMsgpack(request.headers) ? undefined : 415)
    if (typeof device === 'number') return reply.code(device).send()
    return this.#run(call, authenticatedContext(caller, organization_id, device.organization, device.device))
  }

  /** The device that signed `body`, or the code that refuses it. `malformed` refuses requests of the wrong form. */
  async #identify(
    { request, organization_id }: Call,
    body: Buffer,
    malformed: number | undefined,
  ): Promise<Device | number> {
    const { bus } = this.#deps
    const device_id = authorOf(request.headers)
    const { organization, device } = device_id
      ? await callInternal(bus, 'session_open', { organization_id, device_id })
      : { ...(await callInternal(bus, 'organization_find', { organization_id, create: false })), device: null }
    if (!organization) return 404
    if (organization.is_expired) return ORGANIZATION_EXPIRED
    if (malformed) return malformed
    const signature = signatureOf(request.headers)
    if (!signature || !device) return 401
    if (device.revoked_on !== null || device.is_frozen) return USER_REFUSED
    if (!verifyDetached(device.verify_key, signature, body)) return 401
    this.#deps.seen.note(device.device)
    return { organization, device }
  }

  async #invited(call: Call): Promise<FastifyReply> {
    const { request, reply, organization_id, caller } = call
    const { bus } = this.#deps
    const token = invitationTokenOf(request.headers)
    const { organization, invitation } = token
      ? await callInternal(bus, 'session_open_invited', { organization_id, token })
      : { ...(await callInternal(bus, 'organization_find', { organization_id, create: false })), invitation: null }
    if (!organization) return reply.code(404).send()
    if (organization.is_expired) return reply.code(ORGANIZATION_EXPIRED).send()
    if (!isMsgpack(request.headers) || !token) return reply.code(415).send()
    if (!invitation) return reply.code(404).send()
    if (invitation.is_deleted) return reply.code(410).send()
    return this.#run(call, {
      kind: 'invited',
      ...caller,
      organization_id,
      organization: organization.organization,
      invitation_type: invitation.type,
      token,
    })
  }

  /** Runs the command of the body, unless `before` gives a code that refuses it. */
  async #run(
    { request, reply }: Call,
    context: Context,
    before?: (cmd: string) => Promise<number | undefined>,
  ): Promise<FastifyReply> {
    const { bus, forwarder, local, log, metrics, activity } = this.#deps
    const startedAt = performance.now()
    const body = request.body as Buffer
    if (body.length > maxClientMessage(bus)) return reply.code(413).send()
    const { spec, ...reading } = readMessage(body, context.kind, context.api_version[0])
    if (!spec || NEEDS_CONNECTION.has(spec.name)) return reply.code(415).send()
    const code = await before?.(spec.cmd)
    if (code) return reply.code(code).send()
    const request_id = forwarder.requestId()
    const bytes = encodeContext(context)
    let answer: Buffer
    const message = 'message' in reading ? reading.message : {}
    if (spec.service !== 'gateway') {
      const asked = { message, sequestered: isSequestered(context) }
      const client = new AbortController()
      reply.raw.once('close', () => client.abort(CLIENT_GONE))
      answer = await forwarder.forward(spec, bytes, request_id, body, asked, client.signal)
    } else {
      const fields = parse(spec.request, message)
      if (!fields.ok) answer = encode({ status: 'bad_message', reason: 'Invalid message.', errors: fields.errors })
      else {
        const result = await this.#wait(reply, new LocalCall(bytes, request_id, null), call =>
          local.get(spec.name)?.(call, fields.value),
        )
        // The client has left; nobody needs an answer.
        if (reply.raw.destroyed) return reply.hijack()
        if (result === GONE) return reply.code(410).send()
        if (result === undefined || result === LATER) throw new Error(`no answer to ${spec.name} over HTTP`)
        answer = Buffer.isBuffer(result) ? result : encode(result)
      }
    }
    const status = statusOf(answer)
    const seconds = (performance.now() - startedAt) / 1000
    metrics.request(spec.cmd, status, seconds)
    activity.request(seconds)
    const { conn_id } = context
    log.info('Request', {
      conn_id,
      ...('organization_id' in context && { organization_id: context.organization_id }),
      cmd: spec.cmd,
      status,
      ms: toTenths(performance.now() - startedAt),
      ...fieldsAtFault(answer, status),
    })
    return sendMsgpack(reply, answer)
  }

  /** Runs a local command until it ends or the client leaves. */
  async #wait(
    reply: FastifyReply,
    call: LocalCall,
    run: (call: LocalCall) => LocalReply | undefined | Promise<LocalReply>,
  ): Promise<LocalReply | undefined> {
    const leave = () => call.abort()
    reply.raw.once('close', leave)
    this.#waiting.add(call)
    try {
      return await run(call)
    } catch (error) {
      if (!reply.raw.destroyed) throw error
      return undefined
    } finally {
      this.#waiting.delete(call)
      reply.raw.off('close', leave)
    }
  }

  /** The stream of events of a device. Orders are heard before the device is looked up, as in a handshake. */
  async #events(call: Call): Promise<FastifyReply> {
    const { request, reply, organization_id, caller } = call
    const { hub, log, sseKeepaliveSeconds } = this.#deps
    const organization = await hub.enter(organization_id)
    const stream = new EventStream(
      reply.raw,
      sseKeepaliveSeconds,
      log.child({ conn_id: caller.conn_id, organization_id }),
      hub.queuedBytes,
    )
    const device_id = authorOf(request.headers)
    const session = device_id ? organization.join(userOf(device_id), device_id, caller.api_version, stream) : null
    let exists = false
    try {
      const device = await this.#identify(call, EMPTY, acceptsEventStream(request.headers) ? undefined : 406)
      exists = device !== 404
      if (typeof device === 'number') return await reply.code(device).send()
      session!.isKnown = true
      await hub.subscribe(organization, session!, {
        organization: device.organization.organization,
        user: device.device.user,
      })
      if (!stream.isOver) {
        reply.hijack()
        this.#streams.add(stream)
        await stream.run(request.method === 'HEAD')
      } else if (!reply.raw.destroyed) {
        // Told to end since it was looked up: by now there is a reason to refuse it, or it may come back.
        const refusal = await this.#identify(call, EMPTY, undefined)
        return await reply.code(typeof refusal === 'number' ? refusal : 503).send()
      }
      return reply
    } finally {
      this.#streams.delete(stream)
      hub.exit(organization, session, exists)
    }
  }
}

const EMPTY = Buffer.alloc(0)

const sendMsgpack = (reply: FastifyReply, body: Buffer): FastifyReply => reply.type('application/msgpack').send(body)
