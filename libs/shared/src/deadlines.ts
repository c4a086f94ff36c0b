/**
 * Every deadline of the system, in milliseconds, from the outermost wait to the innermost (DESIGN §11). What one waits
 * for must end before it does: `deadlines.test.ts` proves the sums.
 */

/** What a service has for an answer: metadata work, and work that moves block data. */
export const METADATA_DEADLINE_MS = 5_000
export const BLOCK_DEADLINE_MS = 30_000
/** … and a write that asks the webhooks of sequester services, at most 20 s of it. */
export const SEQUESTER_DEADLINE_MS = 30_000
