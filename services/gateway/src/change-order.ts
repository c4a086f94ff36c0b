/**
 * Tells the changes of each realm in the order of their checkpoints. Replicas of the metadata service commit in that
 * order but may publish in another; what overtook waits here for what is on its way.
 */

/** Wait for an earlier change when the first one of a realm is heard, milliseconds. */
export const FIRST_WAIT_MS = 50
/** Wait for a missing change: longer than another replica needs to sweep the outbox of a dead one. */
export const GAP_WAIT_MS = 3_000
/** Most changes of a realm that wait; one more, and all are told: they must fit into the queue of a client. */
export const MAX_WAITING = 50

type Realm<T> = { next: number | undefined; readonly waiting: Map<number, T>; timer: NodeJS.Timeout | undefined }

export class ChangeOrder<T> {
  readonly #tell: (change: T) => void
  readonly #realms = new Map<string, Realm<T>>()
  constructor(tell: (change: T) => void) {
    this.#tell = tell
  }

  /** Told at once when it is next or late, else when those before it are told or the wait is over. */
  add(realm_id: string, checkpoint: number, change: T): void {
    let realm = this.#realms.get(realm_id)
    if (!realm) {
      realm = { next: checkpoint === 1 ? 1 : undefined, waiting: new Map(), timer: undefined }
      this.#realms.set(realm_id, realm)
    }
    if (realm.next !== undefined && checkpoint < realm.next) return this.#tell(change)
    realm.waiting.set(checkpoint, change)
    this.#tellNext(realm)
    if (realm.waiting.size > MAX_WAITING) this.#tellAll(realm)
  }

  /** Forgets everything, for when nobody listens any more. */
  clear(): void {
    for (const realm of this.#realms.values()) clearTimeout(realm.timer)
    this.#realms.clear()
  }

  #tellNext(realm: Realm<T>): void {
    while (realm.next !== undefined) {
      const change = realm.waiting.get(realm.next)
      if (change === undefined) break
      realm.waiting.delete(realm.next++)
      this.#tell(change)
    }
    if (realm.waiting.size === 0) {
      clearTimeout(realm.timer)
      realm.timer = undefined
    } else
      realm.timer ??= setTimeout(
        () => this.#tellAll(realm),
        realm.next === undefined ? FIRST_WAIT_MS : GAP_WAIT_MS,
      ).unref()
  }
  #tellAll(realm: Realm<T>): void {
    clearTimeout(realm.timer)
    realm.timer = undefined
    for (const checkpoint of [...realm.waiting.keys()].sort((a, b) => a - b)) {
      const change = realm.waiting.get(checkpoint)!
      realm.waiting.delete(checkpoint)
      realm.next = checkpoint + 1
      this.#tell(change)
    }
  }
}
