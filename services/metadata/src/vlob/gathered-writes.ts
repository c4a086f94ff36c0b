/**
 * Versions of vlobs are written together, see `storage/gather.ts`: one transaction has the locks of all realms that it
 * writes to, looks up what the rules need to know, and writes what they let through. The rules are those of the commands,
 * one command after the other: each sees what those before it did.
 *
 * A realm that somebody else has locked is not waited for while others could be written to: its commands go to a second,
 * patient batch, which waits for one realm at a time while it has no other lock, so nobody ever waits in a circle.
 */
import type { Budget } from '@parsec/shared/budget'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { Database } from '@parsec/shared/postgres/database'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { lockRealmByKey } from '../realm/lock.ts'
import type { SequesterBlobs } from '../sequester/blobs.ts'
import { keptServices, NO_SERVICES } from '../sequester/write.ts'
import { BUSY, Gathering, inOrder } from '../storage/gather.ts'
import type { Outbox } from '../storage/outbox.ts'
import { Batch, Taken, Write } from './write-batch.ts'
import { findPlaces, type LockedRealm, type LockedVlob, lockRealms, type Place } from './write-statements.ts'

type Services = Awaited<ReturnType<typeof keptServices>>
type ServicesRefusal = Extract<Services, { ok: false }>['refusal']

/** A command: `realm_id` null: to the realm that the vlob is in. `realm`: once it was found locked. */
type Item = {
  readonly context: AuthenticatedContext
  readonly sequester_blob: SequesterBlobs
  readonly vlob_id: Uuid
  readonly realm_id: Uuid | null
  /** Decides at once, and writes through the batch; undefined: there is no such place. */
  readonly decide: (services: Services, place: Place | undefined, batch: Batch) => void
  realm?: number
}
type WriteDeps = { db: Database; outbox: Outbox; now: () => DateTime }
type Caller = { context: AuthenticatedContext; budget: Budget }
type Target = { vlob_id: Uuid; sequester_blob: SequesterBlobs; blob: Buffer }

const isSequestered = ({ context }: Item): boolean => context.is_sequestered

const LOCK_TIMED_OUT = '55P03'

export class VlobWrites {
  readonly #deps: WriteDeps
  readonly #gathering: Gathering<Item, null>
  /** Of sequestered organizations, one by one: their services are locked, too, which is nothing for others to wait for. */
  readonly #sequestered: Gathering<Item, null>

  constructor(deps: WriteDeps) {
    this.#deps = deps
    const { gathered_writes, gathered_bytes } = limits
    const bounds = { maxItems: gathered_writes.value, maxBytes: gathered_bytes.value, lanes: 1 }
    const patient = new Gathering<Item, null>({
      ...bounds,
      together: (items, budget) => this.#waitAndWrite(items, budget),
    })
    const eager = {
      ...bounds,
      spareLanes: 1,
      patient,
      together: (items: readonly Item[], budget: Budget) => this.#write(items, budget),
    }
    this.#gathering = new Gathering(eager)
    this.#sequestered = new Gathering({ ...eager, maxItems: 1 })
  }

  /** Lets `decide` write to a vlob, undefined when there is none; resolves to its reply, after the commit. */
  update<R>(caller: Caller, target: Target, decide: (vlob: LockedVlob | undefined, write: Write) => R) {
    return this.#add(caller, target, null, (place, write) => decide(place?.vlob == null ? undefined : place, write))
  }
  /** The same for the place where a vlob is to be created, undefined when there is no such realm. */
  create<R>(
    caller: Caller,
    target: Target & { realm_id: Uuid },
    decide: (place: (LockedRealm & { isTaken: boolean }) | undefined, write: Write) => R,
  ) {
    return this.#add(caller, target, target.realm_id, (place, write) =>
      decide(place && { ...place, isTaken: place.vlob !== null || write.isCreated }, write),
    )
  }

  async #add<R>(
    { context, budget }: Caller,
    { vlob_id, sequester_blob, blob }: Target,
    realm_id: Uuid | null,
    decide: (place: Place | undefined, write: Write) => R,
  ): Promise<R | ServicesRefusal> {
    const decided: { reply?: R | ServicesRefusal } = {}
    const item: Item = {
      context,
      sequester_blob,
      vlob_id,
      realm_id,
      decide: (services, place, batch) => {
        decided.reply = services.ok
          ? decide(place, new Write(batch, context, vlob_id, services.blobs))
          : services.refusal
      },
    }
    const { organization, is_sequestered } = context
    await (is_sequestered ? this.#sequestered : this.#gathering).add(item, {
      organization,
      budget,
      bytes: blob.length,
    })
    return decided.reply!
  }

  /** Commits what the items decide to write; those whose realm somebody else has locked are busy. */
  async #write(items: readonly Item[], budget: Budget, realm?: number): Promise<(null | typeof BUSY)[]> {
    try {
      return await this.#commit(items, budget, realm)
    } catch (error) {
      // Asked again, its rules see the other vlob.
      if (error instanceof Taken && items.length === 1) return this.#commit(items, budget, realm)
      throw error
    }
  }
  async #commit(items: readonly Item[], budget: Budget, realm?: number): Promise<(null | typeof BUSY)[]> {
    const { db, outbox, now } = this.#deps
    const done: (null | typeof BUSY)[] = []
    const batch = new Batch()
    let rows: Promise<{ _id: number }[]> | undefined
    await db.within(budget).transaction(
      async tx => {
        if (realm !== undefined) void lockRealmByKey(tx, realm)
        const [locked, places, services] = await Promise.all([
          lockRealms(tx, items),
          findPlaces(tx, items),
          items.some(isSequestered) ? Promise.all(items.map(item => keptServices(tx, item))) : undefined,
        ])
        const isLocked = new Set(locked.map(({ realm }) => realm))
        const found = inOrder(items, places)
        for (const [i, item] of items.entries()) {
          const place = found[i]
          if (place && !isLocked.has(place.realm)) {
            item.realm = place.realm
            done.push(BUSY)
            continue
          }
          item.decide(services?.[i] ?? NO_SERVICES, place && batch.asLeft(place), batch)
          done.push(null)
        }
        if (batch.isEmpty) return
        ;({ rows } = await batch.write(tx, now()))
      },
      () => !batch.isEmpty,
    )
    if (rows) outbox.publish(batch.events, await rows)
    return done
  }

  /** Waits for the realm of the first item, and then takes whatever else it can have. */
  async #waitAndWrite(items: readonly Item[], budget: Budget): Promise<(null | typeof BUSY | Unavailable)[]> {
    const { realm } = items[0]!
    try {
      return await this.#write(items, budget, realm)
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      const unavailable = new Unavailable('the realm stays locked', { cause: error })
      return items.map(item => (item.realm === realm ? unavailable : BUSY))
    }
  }
}

function isLockTimeout(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (error as { code?: unknown }).code === LOCK_TIMED_OUT || isLockTimeout(error.cause)
}
