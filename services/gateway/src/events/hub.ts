/**
 * What this gateway hears on the bus, and who is told: orders about connections (revoked, frozen, expired) at once,
 * client events for whoever subscribed. One subscription each per organization, while somebody is there.
 */

import type { Bus, Subscription } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import * as subjects from '@parsec/shared/bus/subjects'
import { decodeOwn } from '@parsec/shared/codec/msgpack'
import { ORGANIZATION_LINGER_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { BusEvent, ControlEvent } from '@parsec/shared/protocol/events'
import { membershipsIn } from '@parsec/shared/protocol/memberships'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { EventOrder } from './order.ts'
import { QueuedBytes } from './queue.ts'
import { type EventFanOut, eventFanOut, HeardEvent, type Memberships, Organization, type Session } from './session.ts'
import { Slices } from './slices.ts'

/** Ids of events that are remembered, so that one that is told twice reaches clients once. */
const REMEMBERED_EVENTS = 65_536

type Entry = {
  readonly organization: Organization
  /** Connections that count on the orders being heard, handshakes in progress included. */
  holders: number
  control: Promise<Subscription>
  client: Promise<Subscription> | null
  readonly order: EventOrder<HeardEvent>
  linger: NodeJS.Timeout | undefined
}

export class EventHub {
  readonly #bus: Bus
  readonly #log: Log
  readonly #entries = new Map<OrganizationID, Entry>()
  readonly #seen = new SeenIds(REMEMBERED_EVENTS)
  readonly #fanOut: EventFanOut
  /** For what concerns many connections or realms at once. */
  readonly slices = new Slices()
  /** Of the queues of all clients. */
  readonly queuedBytes = new QueuedBytes()
  constructor(bus: Bus, log: Log, metrics: Metrics = noMetrics) {
    this.#bus = bus
    this.#log = log
    this.#fanOut = eventFanOut(event => metrics.event(event))
  }

  /**
   * Orders about the organization are heard from the moment that this resolves, until the matching `exit`.
   * Rejects with `Unavailable`; then no `exit` is due.
   */
  async enter(id: OrganizationID): Promise<Organization> {
    let entry = this.#entries.get(id)
    if (!entry) {
      const organization = new Organization(id, this.slices, this.#fanOut)
      const order = new EventOrder<HeardEvent>(
        event => this.#guarded(organization, () => organization.deliver(event)),
        next => this.#guarded(organization, () => organization.lose(next)),
      )
      const control = this.#bus.subscribe(subjects.controlEvents(id), payload =>
        this.#heard(organization, order, payload),
      )
      entry = { organization, holders: 0, control, client: null, order, linger: undefined }
      this.#entries.set(id, entry)
    }
    clearTimeout(entry.linger)
    entry.holders++
    try {
      await entry.control
    } catch (error) {
      if (this.#entries.get(id) === entry) this.#entries.delete(id)
      throw error
    }
    return entry.organization
  }
  /** Undoes one `enter`. An organization that turned out not to exist is not worth a linger. */
  exit(organization: Organization, session: Session | null, linger = true): void {
    const entry = this.#entries.get(organization.id)
    if (session) organization.leave(session)
    if (!entry || entry.organization !== organization) return
    if (organization.subscribers.size === 0 && entry.client) {
      this.#close(entry.client)
      entry.client = null
      entry.order.clear()
    }
    if (--entry.holders > 0) return
    clearTimeout(entry.linger)
    if (linger) entry.linger = setTimeout(() => this.#drop(entry), ORGANIZATION_LINGER_MS).unref()
    else this.#drop(entry)
  }

  /** While somebody of it is here. */
  organization(id: OrganizationID): Organization | undefined {
    return this.#entries.get(id)?.organization
  }
  /** Users with a device that is here. */
  get connectedUsers(): number {
    let users = 0
    for (const { organization } of this.#entries.values())
      for (const { sessions } of organization.users.values()) if (sessions.some(session => session.isKnown)) users++
    return users
  }

  /** From now on the session is told events. Rejects with `Unavailable` or `RemoteFailure`; the session must then end. */
  async subscribe(
    organization: Organization,
    session: Session,
    keys: { organization: number; user: number },
  ): Promise<void> {
    if (session.subscribed) return
    const memberships = organization.startCatchingUp(session)
    memberships.reading ??= this.#read(organization, memberships, keys)
    await memberships.reading
    if (session.subscribed) organization.catchUp(session)
  }
  async #read(
    organization: Organization,
    memberships: Memberships,
    keys: { organization: number; user: number },
  ): Promise<void> {
    try {
      // Hearing comes before reading, so that a change in between is not missed; certificates say which is newer.
      await this.#hearClientEvents(organization)
      const reply = await callInternal(this.#bus, 'realm_memberships', { ...keys, packed: true })
      const order = this.#entries.get(organization.id)?.order
      order?.startAfter(`@${memberships.user.id}`, reply.message_count)
      await this.slices.each(membershipsIn(reply), ({ hex, certified_on, place }) => {
        memberships.remember(hex, true, certified_on)
        if (!memberships.isOver) order?.startAfter(hex, place)
      })
    } catch (error) {
      memberships.reading = null
      throw error
    }
  }
  async #hearClientEvents(organization: Organization): Promise<void> {
    const entry = this.#entries.get(organization.id)
    if (entry?.organization !== organization) return
    const client = (entry.client ??= this.#bus.subscribe(subjects.clientEvents(organization.id), payload =>
      this.#heard(organization, entry.order, payload),
    ))
    try {
      await client
    } catch (error) {
      if (entry.client === client) entry.client = null
      throw error
    }
  }

  /** Messages were lost, and everybody connects anew: what comes next follows on nothing that was heard before. */
  forgetOrder(): void {
    for (const { order, organization } of this.#entries.values()) {
      order.clear()
      organization.mistrust()
    }
  }
  /** Ends every subscription. */
  async stop(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const entry of entries) clearTimeout(entry.linger)
    await Promise.allSettled(
      entries.flatMap(({ control, client }) => [control, client]).map(async s => (await s)?.close()),
    )
  }
  #drop(entry: Entry): void {
    if (entry.holders > 0) return
    this.#entries.delete(entry.organization.id)
    this.#close(entry.control)
  }
  #close(subscription: Promise<Subscription>): void {
    subscription.then(s => s.close()).catch(error => this.#log.debug('Subscription not closed', { error }))
  }

  #heard(organization: Organization, order: EventOrder<HeardEvent>, payload: Buffer): void {
    this.#guarded(organization, () => {
      const event = decodeOwn<BusEvent>(payload)
      if (this.#seen.add(event.id)) return
      if ('control' in event) obey(organization, event.control)
      else {
        const place = placeOf(event)
        // Whoever gets a role hears from here on: nothing earlier is missed.
        if (place && event.fields.event === 'realm.roles_updated') order.startAfter(place.series, place.index - 1)
        if (place) order.add(place.series, place.index, new HeardEvent(event))
        else organization.deliver(new HeardEvent(event))
      }
    })
  }
  /** An event that makes no sense is nobody's end, whether it is told at once or waits for those before it. */
  #guarded(organization: Organization, tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#log.error('Invalid event received', { organization_id: organization.id, error })
    }
  }
}

/** Where an event stands in a series that counts 1, 2, 3…: the events of a realm, the messages of a user. */
function placeOf({ recipients, fields, place }: Told): { series: string; index: number } | undefined {
  if ('realm_id' in fields && place !== undefined) return { series: fields.realm_id.hex, index: place }
  if (fields.event === 'message.received' && recipients.to === 'users')
    return { series: `@${recipients.user_ids[0]}`, index: fields.index }
  return undefined
}

type Told = Extract<BusEvent, { fields: unknown }>

function obey(organization: Organization, order: ControlEvent): void {
  for (const watcher of [...organization.watchers]) watcher(order)
  switch (order.control) {
    case 'user.revoked':
    case 'user.frozen':
      return organization.sendAway(organization.users.get(order.user_id)?.sessions ?? [], order.control)
    case 'events.lost':
      return organization.sendAway(organization.subscribers, order.control)
    case 'organization.expired':
      organization.sendAway(
        [...organization.users.values()].flatMap(user => user.sessions),
        order.control,
      )
  }
}

/** The last ids that were added, between `capacity` / 2 and `capacity` of them. */
class SeenIds {
  readonly #half: number
  #young = new Set<string>()
  #old = new Set<string>()
  constructor(capacity: number) {
    this.#half = capacity / 2
  }
  /** Remembers an id; true when it was known. */
  add(id: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return true
    if (this.#young.size >= this.#half) {
      this.#old = this.#young
      this.#young = new Set()
    }
    this.#young.add(id)
    return false
  }
}
