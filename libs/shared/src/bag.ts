/**
 * A set for who comes and goes with every command. A `Set` and a `Map` make a new table whenever they are full or nearly
 * empty, and the old one points to it: one that has got old in the heap keeps all later ones in memory, with whatever was
 * in them, until everything is collected. With a few of those on the way of a command half of what it allocates outlives it.
 */
export interface InBag {
  /** Where it is in the one bag that it is in; nobody else's business. Negative outside. */
  place: number
}

export class Bag<T extends InBag> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }
  add(item: T): void {
    item.place = this.#items.push(item) - 1
  }
  /** Whether it was here. */
  delete(item: T): boolean {
    const { place } = item
    if (this.#items[place] !== item) return false
    const last = this.#items.pop()!
    if (last !== item) {
      this.#items[place] = last
      last.place = place
    }
    item.place = -1
    return true
  }
  /** Takes out all that are here. */
  takeAll(): T[] {
    const taken = this.#items.splice(0)
    for (const item of taken) item.place = -1
    return taken
  }
  /** Those that are here now, in no order. */
  all(): T[] {
    return [...this.#items]
  }
}
