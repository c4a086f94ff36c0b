/**
 * Every deadline of the system, in milliseconds, from the outermost wait to the innermost (DESIGN §11). What one waits
 * for must end before it does: `deadlines.test.ts` proves the sums.
 */

// Requests

/** How long the gateway waits for an answer: metadata work, and work that moves block data. */
export const METADATA_DEADLINE_MS = 5_000
export const BLOCK_DEADLINE_MS = 30_000
/** … and a write that asks the webhooks of sequester services, an invitation by mail, a bootstrap that may be told. */
export const SEQUESTER_DEADLINE_MS = 30_000
export const MAIL_DEADLINE_MS = 40_000
export const BOOTSTRAP_DEADLINE_MS = 40_000
/** The administration's question about all organizations at once. */
export const SERVER_STATS_DEADLINE_MS = 30_000
/** What of these a service leaves for the way of its answer. */
export const ANSWER_MARGIN_MS = 250

// What metadata asks outside

/** All webhooks of one write together. */
export const WEBHOOKS_MS = 20_000
/** The webhook that tells of a bootstrap. */
export const BOOTSTRAP_WEBHOOK_MS = 30_000
/** The whole dialogue of a mail, and its parts. */
export const SMTP_MS = 30_000
export const SMTP_CONNECT_MS = 10_000
export const SMTP_SILENCE_MS = 20_000

// Shut-down

/** What of a service's drain time stays for the answers of the requests that it had to abort. */
export const ABORT_MARGIN_MS = 500

// NATS

export const NATS_DIAL_MS = 5_000
export const NATS_RECONNECT_WAIT_MS = 200
/** A broker that does not answer is given up after `NATS_PING_INTERVAL_MS` × (`NATS_MAX_PINGS_OUT` + 1). */
export const NATS_PING_INTERVAL_MS = 5_000
export const NATS_MAX_PINGS_OUT = 2

// The log

/** What is not written by then is lost when the process ends. */
export const LOG_CLOSE_MS = 1_000
/** Between two attempts to write where nobody reads or the disk is full. */
export const LOG_RETRY_MS = 50

// Trial data

/** A trial server listens on its lock long before its folder has this age. */
export const TRIAL_FOLDER_YOUNG_MS = 60_000
/** A statement without a budget of its own; PostgreSQL itself ends one a little later, should nobody be left to. */
export const DATABASE_STATEMENT_MS = 10_000
export const DATABASE_STATEMENT_TIMEOUT_MS = 35_000
/** A lock that somebody else holds: shorter than a command, so that its connection serves others again. */
export const DATABASE_LOCK_TIMEOUT_MS = 3_000
/** A transaction whose process is gone without a word must not keep its locks. */
export const DATABASE_IDLE_IN_TRANSACTION_MS = 10_000
/** A free connection to the database, without a budget; a new connection to one of its hosts. */
export const DATABASE_WAIT_MS = 4_000
export const DATABASE_CONNECT_MS = 4_000
/** A connection that said nothing for so long is asked before it is used, and has so long to answer. */
export const DATABASE_PROBE_AFTER_MS = 5_000
export const DATABASE_PROBE_MS = 2_000
/** What nobody waits for any more may still end by itself; then it is cancelled, on a connection of its own. */
export const DATABASE_GRACE_MS = 200
export const DATABASE_CANCEL_MS = 1_000
/** Between two looks for what is overdue. */
export const DATABASE_SWEEP_MS = 250
