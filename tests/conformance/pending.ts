/** Cases about what the server does not do yet: they run, must fail, and leave this list when they pass. */

const LATER: { readonly [what: string]: readonly string[] } = {}

/** Name of the case → what it waits for. */
export const PENDING: ReadonlyMap<string, string> = new Map(
  Object.entries(LATER).flatMap(([what, names]) => names.map(name => [name, what] as const)),
)
