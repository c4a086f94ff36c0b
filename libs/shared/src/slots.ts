/**
 * A table for what comes and goes with every message and is found again by a number; in the place of a `Map` for the reason
 * that `Bag` is one of a `Set`. It only grows: to the most that were in it at once.
 */
export class Slots<T> {
  readonly #items: (T | undefined)[] = []
  readonly #free: number[] = []
  #size = 0

  get size(): number {
    return this.#size
  }
  /** Returns the number, which is given again after `delete`. */
  add(item: T): number {
    const slot = this.#free.pop() ?? this.#items.length
    this.#items[slot] = item
    this.#size++
    return slot
  }
  get(slot: number): T | undefined {
    return this.#items[slot]
  }
  delete(slot: number): void {
    if (this.#items[slot] === undefined) return
    this.#items[slot] = undefined
    this.#free.push(slot)
    this.#size--
  }
  all(): T[] {
    return this.#items.filter(item => item !== undefined)
  }
}
