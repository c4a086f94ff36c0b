/**
 * Who is connected: authenticated sessions by organization and user, and the realms that each user hears of.
 *
 * The realms belong to the user, not to the connection: its sessions share one map, kept while one of them is subscribed, so
 * a further session of a user reads nothing.
 * The organization knows who is in each realm, so that an event finds its recipients without asking all.
 */
import { encode } from '@parsec/shared/codec/msgpack'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { BusEvent, ClientEvent, ControlEvent, Recipients } from '@parsec/shared/protocol/events'
import type { DeviceID, OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { type ApiVersion, knowsEvent, type Release, takesPing } from '@parsec/shared/protocol/versions'
import { FanOut } from './fan-out.ts'
import { Slices } from './slices.ts'

/** What receives events: a WebSocket, or a stream of server-sent events. */
export interface Peer {
  /** Takes the encoded `events_listen` reply of an event, which may have no field; never throws. */
  offer(event: Buffer, hasNoField: boolean): void
  /** Ends the connection at once, without another word to the client; `why` is for the log. */
  end(why: string): void
  /** Ends it because its device may not be here any more, or must come back. Who is only being judged is told the verdict. */
  sendAway(why: string): void
}

/** One authenticated connection or stream. */
export class Session {
  readonly user: User
  readonly device_id: DeviceID
  /** As the client announced it: decides which kinds of event it knows. */
  readonly api_version: ApiVersion
  readonly release: Release
  readonly peer: Peer
  subscribed = false
  /** The device has proved that it is the one. */
  isKnown = false
  /** Events heard while the realms of the user are still being read; null otherwise. */
  deferred: HeardEvent[] | null = null
  constructor(user: User, device_id: DeviceID, api_version: ApiVersion, peer: Peer, release: Release) {
    this.user = user
    this.device_id = device_id
    this.api_version = api_version
    this.release = release
    this.peer = peer
  }
}

/** A realm that somebody here has heard of, and who is in it. `mentions`: memberships that remember something of it. */
type Realm = { readonly hex: string; readonly members: Set<Memberships>; mentions: number }

/** The realms of a user, from the first session that subscribes to the end of the last. */
export class Memberships {
  readonly user: User
  readonly #organization: Organization
  /** Resolves when they are complete; null: nobody has begun to read them. */
  reading: Promise<void> | null = null
  /** Something may be missing in them. */
  isMistrusted = false
  /** What the user hears of from now on is in others. */
  isOver = false
  /**
   * Per realm the timestamp (µs) of the newest role certificate that was heard of, negative when it took the role away.
   * Replicas may tell role changes in another order than they were committed; the newest certificate counts.
   */
  readonly #roles = new Map<Realm, number>()
  constructor(user: User, organization: Organization) {
    this.user = user
    this.#organization = organization
  }

  /** `certified_on` in microseconds since 1970. */
  remember(hex: string, has: boolean, certified_on: number | undefined): void {
    if (this.isOver) return
    const realm = this.#organization.realm(hex)
    const remembered = this.#roles.get(realm)
    const known = Math.abs(remembered ?? 0)
    const on = certified_on ?? known + 1
    if (on < known) return
    if (remembered === undefined) realm.mentions++
    this.#roles.set(realm, has ? on : -on)
    if (has) realm.members.add(this)
    else realm.members.delete(this)
  }
  /** Nothing of them counts any more; what they hold is let go of in slices. */
  end(slices: Slices): void {
    this.isOver = true
    const { realms } = this.#organization
    void slices.each(this.#roles.keys(), realm => {
      realm.members.delete(this)
      if (--realm.mentions === 0) realms.delete(realm.hex)
    })
  }
}

/** A user with at least one session. */
export class User {
  readonly id: UserID
  readonly sessions: Session[] = []
  readonly #organization: Organization
  /** While a session is subscribed. */
  #memberships: Memberships | null = null
  constructor(id: UserID, organization: Organization) {
    this.id = id
    this.#organization = organization
  }

  isIn(hex: string): boolean {
    return this.#memberships !== null && (this.#organization.realms.get(hex)?.members.has(this.#memberships) ?? false)
  }
  /** From now on; what is told and what is read later are merged. Sessions that follow share them. */
  keepRealms(slices: Slices): Memberships {
    if (this.#memberships?.isMistrusted) this.#forgetRealms(slices)
    this.#memberships ??= new Memberships(this, this.#organization)
    return this.#memberships
  }
  /** Something may have been missed: who subscribes from now on reads anew. */
  mistrustRealms(): void {
    if (this.#memberships) this.#memberships.isMistrusted = true
  }
  /** Does nothing unless a session is subscribed. */
  remember(realm_id: Uuid, has: boolean, certified_on: DateTime | undefined): void {
    this.#memberships?.remember(realm_id.hex, has, certified_on?.us)
  }
  forgetRealmsUnlessSubscribed(slices: Slices): void {
    if (!this.sessions.some(session => session.subscribed)) this.#forgetRealms(slices)
  }
  #forgetRealms(slices: Slices): void {
    this.#memberships?.end(slices)
    this.#memberships = null
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
  /** One says as much as several. */
  get hasNoField(): boolean {
    return this.fields.event === 'pki_enrollment.updated'
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
  /** Those of them whose realms are still being read. */
  readonly catchingUp = new Set<Session>()
  readonly realms = new Map<string, Realm>()
  /** Told of every order: commands that wait for one. */
  readonly watchers = new Set<(order: ControlEvent) => void>()
  readonly #fanOut: EventFanOut
  readonly #slices: Slices
  constructor(id: OrganizationID, slices = new Slices(), fanOut: EventFanOut = eventFanOut()) {
    this.id = id
    this.#slices = slices
    this.#fanOut = fanOut
  }

  realm(hex: string): Realm {
    let realm = this.realms.get(hex)
    if (!realm) {
      realm = { hex, members: new Set(), mentions: 0 }
      this.realms.set(hex, realm)
    }
    return realm
  }

  /** `release`: of a client at a WebSocket; those that read streams are all newer than what it decides. */
  join(user_id: UserID, device_id: DeviceID, api_version: ApiVersion, peer: Peer, release: Release = null): Session {
    let user = this.users.get(user_id)
    if (!user) {
      user = new User(user_id, this)
      this.users.set(user_id, user)
    }
    const session = new Session(user, device_id, api_version, peer, release)
    user.sessions.push(session)
    return session
  }
  leave(session: Session): void {
    const { user } = session
    session.subscribed = false
    this.subscribers.delete(session)
    this.catchingUp.delete(session)
    const at = user.sessions.indexOf(session)
    if (at >= 0) user.sessions.splice(at, 1)
    user.forgetRealmsUnlessSubscribed(this.#slices)
    if (user.sessions.length === 0) this.users.delete(user.id)
  }

  /** Hands an event to the sessions that it is meant for (spec 01 §10.5). */
  deliver(event: HeardEvent): void {
    const { recipients, fields } = event
    if (fields.event === 'realm.roles_updated' && recipients.to === 'users')
      for (const user_id of recipients.user_ids)
        this.users.get(user_id)?.remember(fields.realm_id, fields.role !== null, event.certified_on)
    this.#fanOut.tell(this, this.#recipientsOf(recipients), event)
  }
  /** An event before this one never came: whoever it may have been for connects anew, and catches up. */
  lose({ recipients, fields }: HeardEvent): void {
    const sessions = this.#recipientsOf(recipients, null)
    if ('realm_id' in fields) sessions.push(...this.#hearersOf(fields.realm_id, null))
    this.sendAway(new Set(sessions), 'events.lost')
  }
  /** Ends sessions; those that come back rely on nothing that these have heard. `why` is for the log. */
  sendAway(sessions: Iterable<Session>, why: string): void {
    // A copy: each session that ends leaves the lists.
    const leaving = [...sessions]
    for (const { user } of leaving) user.mistrustRealms()
    void this.#slices.each(leaving, session => session.peer.sendAway(why))
  }
  /** Of what was heard so far something may be missing. */
  mistrust(): void {
    for (const user of this.users.values()) user.mistrustRealms()
  }
  #recipientsOf(recipients: Recipients, except: DeviceID | null = exceptOf(recipients)): Session[] {
    switch (recipients.to) {
      case 'users':
        return recipients.user_ids.flatMap(id => this.users.get(id)?.sessions.filter(isSubscribed) ?? [])
      case 'organization':
        return [...this.subscribers].filter(({ device_id }) => device_id !== except)
      case 'realm':
        return this.#hearersOf(recipients.realm_id, except)
    }
  }
  /** Of a realm: who is in it, or may turn out to be. */
  #hearersOf(realm_id: Uuid, except: DeviceID | null): Session[] {
    const sessions = [...this.catchingUp].filter(({ device_id }) => device_id !== except)
    for (const { user, isOver } of this.realms.get(realm_id.hex)?.members ?? []) {
      if (isOver) continue
      for (const session of user.sessions)
        if (session.subscribed && session.deferred === null && session.device_id !== except) sessions.push(session)
    }
    return sessions
  }
  /** The realms of the session, which are returned, are about to be read, or those of its user are shared. */
  startCatchingUp(session: Session): Memberships {
    session.subscribed = true
    session.deferred = []
    this.subscribers.add(session)
    this.catchingUp.add(session)
    return session.user.keepRealms(this.#slices)
  }
  /** Hands over what was heard while the realms of the user were read. */
  catchUp(session: Session): void {
    const { deferred } = session
    session.deferred = null
    this.catchingUp.delete(session)
    for (const event of deferred ?? []) this.#fanOut.give(session, event)
  }
}

/** Of all organizations of a gateway; `count` is called for each event that a client is given. */
export type EventFanOut = FanOut<Organization, Session, HeardEvent>
export const eventFanOut = (count: Metrics['event'] = noMetrics.event): EventFanOut =>
  new FanOut(
    (session, event) => {
      if (give(session, event)) count(event.fields.event)
    },
    organization => organization.sendAway(organization.subscribers, 'events come too fast'),
  )

const exceptOf = (recipients: Recipients): DeviceID | null => ('except' in recipients && recipients.except) || null
const isSubscribed = ({ subscribed }: Session): boolean => subscribed

/** Some time may have passed since the session was found; false when the event is not for it, or not yet. */
function give(session: Session, event: HeardEvent): boolean {
  const { api_version, release } = session
  if (!session.subscribed || !knowsEvent(api_version, event.fields.event)) return false
  if (event.fields.event === 'pinged' && !takesPing(api_version, release, event.fields.ping)) return false
  if (session.deferred !== null) {
    if (session.deferred.push(event) > limits.deferred_events.value)
      session.peer.end('too many events while subscribing')
    return false
  }
  const { recipients } = event
  if (recipients.to === 'realm' && !session.user.isIn(recipients.realm_id.hex)) return false
  session.peer.offer(event.reply, event.hasNoField)
  return true
}
