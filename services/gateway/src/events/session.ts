/**
 * Who is connected: authenticated sessions by organization and user, and the realms that each user hears of.
 *
 * The realms belong to the user, not to the connection: its sessions share one map, kept while one of them is subscribed.
 */
import { encode } from '@parsec/shared/codec/msgpack'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import type { BusEvent, ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { DeviceID, OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { type ApiVersion, knowsEvent } from '@parsec/shared/protocol/versions'

/** What receives events: a WebSocket, or a stream of server-sent events. */
export interface Peer {
  /** Takes the encoded `events_listen` reply of an event; never throws. */
  offer(event: Buffer): void
  /** Ends the connection at once, without another word to the client; `why` is for the log. */
  end(why: string): void
}

/** One authenticated connection or stream. */
export class Session {
  readonly user: User
  readonly device_id: DeviceID
  /** As the client announced it: decides which kinds of event it knows. */
  readonly api_version: ApiVersion
  readonly peer: Peer
  subscribed = false
  /** Events heard while the realms of the user are still being read; null otherwise. */
  deferred: HeardEvent[] | null = null
  constructor(user: User, device_id: DeviceID, api_version: ApiVersion, peer: Peer) {
    this.user = user
    this.device_id = device_id
    this.api_version = api_version
    this.peer = peer
  }
}

/** A user with at least one session. */
export class User {
  readonly id: UserID
  readonly sessions: Session[] = []
  /**
   * Per realm the timestamp (µs) of the newest role certificate that was heard of, negative when it took the role away.
   * Replicas may tell role changes in another order than they were committed; the newest certificate counts.
   */
  #roles: Map<string, number> | null = null
  constructor(id: UserID) {
    this.id = id
  }

  isIn(realm: string): boolean {
    return (this.#roles?.get(realm) ?? 0) > 0
  }
  /** Starts to keep realms; what is told from now on and what a later `remember` brings are merged. */
  keepRealms(): void {
    this.#roles ??= new Map()
  }
  remember(realm_id: Uuid, has: boolean, certified_on: DateTime | undefined): void {
    if (this.#roles === null) return
    const known = Math.abs(this.#roles.get(realm_id.hex) ?? 0)
    const on = certified_on?.us ?? known + 1
    if (on >= known) this.#roles.set(realm_id.hex, has ? on : -on)
  }
  forgetRealmsUnlessSubscribed(): void {
    if (!this.sessions.some(session => session.subscribed)) this.#roles = null
  }
}

/** An event as heard on the bus. Its reply is encoded once, when the first session receives it. */
export class HeardEvent {
  readonly recipients: Recipients
  readonly fields: ClientEvent
  readonly certified_on: DateTime | undefined
  #reply: Buffer | undefined
  constructor(event: Extract<BusEvent, { fields: ClientEvent }>) {
    this.recipients = event.recipients
    this.fields = event.fields
    this.certified_on = event.certified_on
  }
  get reply(): Buffer {
    // In memory of its own: it may wait in queues for hours, and must not keep the encoder's pool alive.
    if (!this.#reply) {
      const encoded = encode({ status: 'ok', ...this.fields })
      this.#reply = Buffer.allocUnsafeSlow(encoded.length)
      encoded.copy(this.#reply)
    }
    return this.#reply
  }
}

/** An organization with at least one connection here. */
export class Organization {
  readonly id: OrganizationID
  readonly users = new Map<UserID, User>()
  readonly subscribers = new Set<Session>()
  /** Told of every order: commands that wait for one. */
  readonly watchers = new Set<(order: ControlEvent) => void>()
  constructor(id: OrganizationID) {
    this.id = id
  }

  join(user_id: UserID, device_id: DeviceID, api_version: ApiVersion, peer: Peer): Session {
    let user = this.users.get(user_id)
    if (!user) {
      user = new User(user_id)
      this.users.set(user_id, user)
    }
    const session = new Session(user, device_id, api_version, peer)
    user.sessions.push(session)
    return session
  }
  leave(session: Session): void {
    const { user } = session
    session.subscribed = false
    this.subscribers.delete(session)
    const at = user.sessions.indexOf(session)
    if (at >= 0) user.sessions.splice(at, 1)
    if (user.sessions.length === 0) this.users.delete(user.id)
    else user.forgetRealmsUnlessSubscribed()
  }

  /** Hands an event to the sessions that it is meant for (spec 01 §10.5). */
  deliver(event: HeardEvent): void {
    const { recipients, fields } = event
    switch (recipients.to) {
      case 'users':
        for (const user_id of recipients.user_ids) {
          const user = this.users.get(user_id)
          if (!user) continue
          if (fields.event === 'realm.roles_updated')
            user.remember(fields.realm_id, fields.role !== null, event.certified_on)
          // Backwards: a session whose queue is full ends, and leaves the list.
          for (let i = user.sessions.length - 1; i >= 0; i--) {
            const session = user.sessions[i]
            if (session?.subscribed) give(session, event)
          }
        }
        return
      case 'organization':
        for (const session of this.subscribers) if (session.device_id !== recipients.except) give(session, event)
        return
      case 'realm':
        for (const session of this.subscribers) {
          if (session.device_id === recipients.except) continue
          if (session.deferred !== null || session.user.isIn(recipients.realm_id.hex)) give(session, event)
        }
    }
  }
  /** Hands over what was heard while the realms of the user were read. */
  catchUp(session: Session): void {
    const { deferred } = session
    session.deferred = null
    for (const event of deferred ?? []) {
      const { recipients } = event
      if (recipients.to !== 'realm' || session.user.isIn(recipients.realm_id.hex)) give(session, event)
    }
  }
}

/** Most events kept for a session whose realms are being read. */
const MAX_DEFERRED_EVENTS = 1000

function give(session: Session, event: HeardEvent): void {
  if (!knowsEvent(session.api_version, event.fields.event)) return
  if (session.deferred === null) return session.peer.offer(event.reply)
  if (session.deferred.push(event) > MAX_DEFERRED_EVENTS) session.peer.end('too many events while subscribing')
}
