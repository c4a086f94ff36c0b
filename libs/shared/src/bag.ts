/**
 * A set for who comes and goes with every command. A `Set` and a `Map` make a new table whenever they are full or nearly
 * empty, and the old one points to it: one that has got old in the heap keeps all later ones in memory, with whatever was
 * in them, until everything is collected. With a few of those on the way of a command half of what it allocates outlives it.
 */
export interface InBag {
  /** Where it is in the one bag that it is in; nobody else's business. Negative outside. */
  place: number
}

/** Its table only grows, for the same reason: an array that has been made anew leaves one behind that keeps what was in it. */
export class Bag<T extends InBag> {
  readonly #items: (T | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }
  add(item: T): void {
    item.place = this.#size
    this.#items[this.#size++] = item
  }
  /** Whether it was here. */
  delete(item: T): boolean {
    const items = this.#items
    const { place } = item
    if (place < 0 || items[place] !== item) return false
    const last = items[--this.#size]!
    items[place] = last
    last.place = place
    items[this.#size] = undefined
    item.place = -1
    return true
  }
  /** Takes out all that are here. */
  takeAll(): T[] {
    const taken = this.all()
    for (const item of taken) item.place = -1
    this.#items.fill(undefined)
    this.#size = 0
    return taken
  }
  /** Those that are here now, in no order. */
  all(): T[] {
    return this.#items.slice(0, this.#size) as T[]
  }
}
