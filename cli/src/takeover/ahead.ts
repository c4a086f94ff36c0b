/** Work on several items at once that is told in their order, within a bound of the memory that they take. */

/** Items at once; a single one may be larger than `bytes`. */
const ITEMS = 8
const BYTES = 16 * 1024 * 1024

/** What becomes of each item, in their order, while those behind it are already worked on. */
export async function* ahead<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  sizeOf: (item: Item) => number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: { result: Promise<Result>; size: number }[] = []
  let bytes = 0
  for await (const item of items) {
    const size = sizeOf(item)
    while (running.length > 0 && (running.length >= ITEMS || bytes + size > BYTES)) {
      const first = running.shift()!
      yield await first.result
      bytes -= first.size
    }
    const result = work(item)
    // A failure is told in its turn; whoever gives up before does not want to hear of it.
    result.catch(() => {})
    running.push({ result, size })
    bytes += size
  }
  for (const { result } of running) yield await result
}
