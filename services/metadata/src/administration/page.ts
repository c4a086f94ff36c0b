/** Pages of sorted lists: a statement that asks for one item more than the page has knows whether there is a next one. */
import type { Paged, PageOf } from '@parsec/shared/protocol/administration'

/** What a statement is given of a page. Rows come by `key`, negated when descending, then by name. */
export function pageParameters({ sort, descending, after, limit }: PageOf<string>, byName: string) {
  return {
    sort,
    sign: descending ? -1 : 1,
    /** Only a list that is sorted by name turns its names around. */
    namesDescend: descending && sort === byName,
    isFirst: after === null,
    afterKey: after?.[0] ?? 0,
    afterName: after?.[1] ?? '',
    rows: limit + 1,
  }
}

/** A row as these statements give it; the one that stands for an empty page has no name. */
export type PageRow = { key: number | null; name: string | null; total: number }

/** Of the rows those of the page, and where the next one begins. */
export function pageOf<Row extends PageRow>(rows: readonly Row[], limit: number): { items: Row[] } & Paged {
  const found = rows.filter(row => row.name !== null)
  const items = found.slice(0, limit)
  const last = items.at(-1)
  return {
    items,
    next: found.length > limit && last ? [last.key!, last.name!] : null,
    total: rows[0]?.total ?? 0,
  }
}
