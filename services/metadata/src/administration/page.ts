/** Pages of sorted lists: a statement that asks for one item more than the page has knows whether there is a next one. */
import { fragment } from '@parsec/shared/postgres/sql'
import type { Paged, PageOf } from '@parsec/shared/protocol/administration'

/** What a statement is given of a page. Rows come by `key`, negated when descending, then by name. */
export function pageParameters({ sort, descending, after, limit }: PageOf<string>, byName: string) {
  return {
    sort,
    sign: descending ? -1 : 1,
    /** For `ASKED`. */
    asked: JSON.stringify({
      is_first: after === null,
      after_key: after?.[0] ?? 0,
      after_name: after?.[1] ?? '',
      // Only a list that is sorted by name turns its names around.
      names_descend: descending && sort === byName,
      most: limit + 1,
    }),
  }
}

/** ``WITH asked AS (SELECT * FROM json_to_record(${page.asked}::json) ${ASKED}), matching AS (…), ${PAGE}``. */
export const ASKED = fragment`AS asked(
  is_first boolean, after_key bigint, after_name text, names_descend boolean, most bigint
)`
/** Of `matching`, which has a `key` and a `name`, the rows behind the end of the page before. */
export const PAGE = fragment`page AS (
  SELECT matching.*, names_descend FROM matching, asked
  WHERE is_first OR key > after_key OR (key = after_key AND CASE
    WHEN names_descend THEN name COLLATE "C" < after_name
    ELSE name COLLATE "C" > after_name END)
  ORDER BY key, CASE WHEN names_descend THEN name COLLATE "C" END DESC, name COLLATE "C" LIMIT (SELECT most FROM asked)
)`
/** Of the rows of `page`, whatever they were joined with. */
export const IN_ORDER = fragment`ORDER BY page.key,
  CASE WHEN page.names_descend THEN page.name COLLATE "C" END DESC, page.name COLLATE "C"`

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
