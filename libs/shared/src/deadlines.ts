/**
 * Every deadline of the system, in milliseconds, from the outermost wait to the innermost (DESIGN §11). What one waits
 * for must end before it does: `deadlines.test.ts` proves the sums.
 */

/** What a service has for an answer: metadata work, and work that moves block data. */
export const METADATA_DEADLINE_MS = 5_000
export const BLOCK_DEADLINE_MS = 30_000
/** … and a write that asks the webhooks of sequester services, at most 20 s of it. */
export const SEQUESTER_DEADLINE_MS = 30_000

// The log

/** What is not written by then is lost when the process ends. */
export const LOG_CLOSE_MS = 1_000
/** Between two attempts to write where nobody reads or the disk is full. */
export const LOG_RETRY_MS = 50

// Trial data

/** A trial server listens on its lock long before its folder has this age. */
export const TRIAL_FOLDER_YOUNG_MS = 60_000
