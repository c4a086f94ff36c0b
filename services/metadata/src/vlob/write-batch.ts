/** What commands that write versions of vlobs will write, in one transaction for all of them. */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import type { Queryable } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { noteEarly } from '../organization/tally.ts'
import type { ServiceBlob } from '../sequester/blobs.ts'
import { storeBlobs } from '../sequester/write.ts'
import { clientEvent, Outbox, type OutboxEvent } from '../storage/outbox.ts'
import {
  advance,
  appendVersion,
  appendVersions,
  createVlobs,
  type LockedRealm,
  type LockedVlob,
  type NewVersion,
  type NumberedVersion,
  type Place,
  type Version,
} from './write-statements.ts'

/** What one command writes, and as whom. */
export class Write {
  readonly #batch: Batch
  readonly #context: AuthenticatedContext
  readonly #vlob_id: Uuid
  readonly #blobs: readonly ServiceBlob[]
  constructor(batch: Batch, context: AuthenticatedContext, vlob_id: Uuid, blobs: readonly ServiceBlob[]) {
    this.#batch = batch
    this.#context = context
    this.#vlob_id = vlob_id
    this.#blobs = blobs
  }
  /** Whether a command before it in the batch creates the vlob. */
  get isCreated(): boolean {
    return this.#batch.creates(this.#context.organization, this.#vlob_id)
  }
  /** The next version of a vlob. */
  append({ realm, realm_id, steps, vlob, version }: LockedVlob, written: NewVersion): void {
    this.#batch.add({ ...this.#common, ...written, realm, realm_id, steps, vlob, version: version + 1 })
  }
  /** A vlob with its first version. */
  create({ realm, realm_id, steps }: LockedRealm, written: NewVersion): void {
    this.#batch.add({ ...this.#common, ...written, realm, realm_id, steps, vlob: null, version: 1 })
  }
  get #common() {
    return { context: this.#context, vlob_id: this.#vlob_id, blobs: this.#blobs }
  }
}

/** A vlob of the same id was created elsewhere in this moment: the batch is void, and its rules must be asked again. */
export class Taken extends Error {}

/** What a transaction will write. */
export class Batch {
  readonly events: OutboxEvent[] = []
  readonly #versions: NumberedVersion[] = []
  /** What the versions so far change: by realm, by vlob, and by organization and vlob. */
  readonly #checkpoints = new Map<number, number>()
  readonly #newest = new Map<number, { version: number; timestamp: DateTime }>()
  readonly #created = new Set<string>()

  get isEmpty(): boolean {
    return this.#versions.length === 0
  }
  creates(organization: number, vlob_id: Uuid): boolean {
    return this.#created.has(`${organization} ${vlob_id.hex}`)
  }
  /** A place as those before have left it. */
  asLeft<P extends Place>(place: P): P {
    const checkpoint = this.#checkpoints.get(place.realm) ?? place.checkpoint
    this.#checkpoints.set(place.realm, checkpoint)
    const { version, timestamp } = (place.vlob !== null && this.#newest.get(place.vlob)) || place
    return { ...place, checkpoint, version, timestamp }
  }
  add(version: Version): void {
    const { context, realm, realm_id, steps, vlob, vlob_id, timestamp } = version
    const checkpoint = this.#checkpoints.get(realm)! + 1
    this.#checkpoints.set(realm, checkpoint)
    if (vlob === null) this.#created.add(`${context.organization} ${vlob_id.hex}`)
    else this.#newest.set(vlob, { version: version.version, timestamp })
    this.#versions.push({ ...version, checkpoint })
    const fields = {
      event: 'realm.vlobs_updated',
      realm_id,
      checkpoint,
      src_id: vlob_id,
      src_version: version.version,
    } as const
    const recipients = { to: 'realm', realm_id, except: context.device_id } as const
    this.events.push(clientEvent(context.organization_id, recipients, fields, { place: checkpoint + steps }))
  }

  /** Sends all of it; `rows`: those of the events in the outbox, which nobody needs to wait for before the commit. */
  async write(tx: Queryable, now: DateTime): Promise<{ rows: Promise<{ _id: number }[]> }> {
    const [created, appended] = [this.#versions.filter(isFirst), this.#versions.filter(isLater)]
    for (const { vlob, version, blobs } of appended) storeBlobs(tx, vlob, version, blobs)
    noteEarly(tx, now, this.#versions.map(sizeOf))
    const [only] = appended
    if (only && this.#versions.length === 1) return { rows: appendVersion(tx, only, this.events[0]!) }
    if (appended.length > 0) void appendVersions(tx, appended)
    void advance(tx, this.#versions)
    if (created.length > 0) await this.#create(tx, created)
    return { rows: Outbox.insert(tx, this.events) }
  }
  async #create(tx: Queryable, created: readonly NumberedVersion[]): Promise<void> {
    const vlobs = await createVlobs(tx, created)
    if (vlobs.length < created.length) throw new Taken()
    for (const { vlob_id, blobs } of created)
      if (blobs.length > 0) storeBlobs(tx, vlobs.find(vlob => vlob.vlob_id.equals(vlob_id))!.vlob, 1, blobs)
  }
}

const isFirst = (version: NumberedVersion): version is NumberedVersion & { vlob: null } => version.vlob === null
const isLater = (version: NumberedVersion): version is NumberedVersion & { vlob: number } => version.vlob !== null

const sizeOf = ({ context, realm, timestamp, blob }: Version) => ({
  organization: context.organization,
  realm,
  timestamp,
  size: blob.length,
})
