/**
 * Every deadline of the system, in milliseconds, from the outermost wait to the innermost (DESIGN §11). What one waits
 * for must end before it does: `deadlines.test.ts` proves the sums.
 */

/** Most seconds of what operators set, 23 days: a timer that shall wait much longer fires at once instead. */
export const LONGEST_SECONDS = 2_000_000

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
/** One step of the deletion of an organization, what of it is work, and all steps that one call of the API takes. */
export const DELETION_DEADLINE_MS = 30_000
export const DELETION_WORK_MS = 5_000
export const DELETION_CALL_MS = 20_000
/** How late an alarm may ring. */
export const ALARM_PRECISION_MS = 20
/** What of these a service leaves for the way of its answer. */
export const ANSWER_MARGIN_MS = 250
/**
 * How fast requests end is learned while some wait: nobody is refused for it before the first time has passed, since many
 * may end together; what is older than the second counts less.
 */
export const LANE_LEARNING_MS = 500
export const LANE_REMEMBERED_MS = 1_000

// What metadata asks outside

/** All webhooks of one write together. */
export const WEBHOOKS_MS = 20_000
/** The webhook that tells of a bootstrap. */
export const BOOTSTRAP_WEBHOOK_MS = 30_000
/** The whole dialogue of a mail, and its parts. */
export const SMTP_MS = 30_000
export const SMTP_CONNECT_MS = 10_000
export const SMTP_SILENCE_MS = 20_000

// Events

/** Between a publication and the deletion of its row, so that many rows go at once; and the deletion. */
export const OUTBOX_DELETE_AFTER_MS = 100
export const OUTBOX_DELETION_MS = 5_000
/** A sweep takes rows of this age: younger ones belong to the process that wrote them. */
export const OUTBOX_SWEEP_AGE_MS = 1_000
export const OUTBOX_SWEEP_EVERY_MS = 1_000
export const OUTBOX_SWEEP_MS = 5_000
/** No transaction lives so long. */
export const OUTBOX_SETTLED_MS = 120_000
/** Sweeps skip what they have seen empty, for so long. */
export const OUTBOX_WHOLE_SWEEP_MS = 600_000
/** Between two looks for claimers whose gateway is silent, and one look. */
export const PRESENCE_SWEEP_EVERY_MS = 10_000
export const PRESENCE_SWEEP_MS = 5_000

/** Between two statements that look up who connects: a gateway lets in one connection for each turn of its event loop. */
export const SESSIONS_EVERY_MS = 1

// Neighbours: metadata services of one deployment

/** How often each renews its lease, how long one look may take, and how long a lease lasts. */
export const NEIGHBOURS_EVERY_MS = 10_000
export const NEIGHBOURS_MS = 5_000
export const NEIGHBOURS_LEASE_MS = 35_000
/** A start waits so long for whoever is on the bus to say which database is theirs. */
export const NEIGHBOURS_ANSWER_MS = 250
/** Between two lines in the log about the same trouble. */
export const NEIGHBOURS_REPEAT_MS = 60_000

// Replicas: each says on the bus that it is there

/** How often, and how long it is believed. */
export const ROLL_EVERY_MS = 10_000
export const ROLL_LEASE_MS = 35_000
/** For what a replica knows by itself. */
export const REPLICA_DEADLINE_MS = 3_000
/** How often a gateway tells which devices came and went, and how often it tells of one at most. */
export const SEEN_EVERY_MS = 10_000
export const SEEN_AGAIN_MS = 60_000
/** … and for the last word of a gateway that stops. */
export const SEEN_LAST_MS = 300
/** How often figures are written down, and one look at them. */
export const FIGURES_EVERY_MS = 600_000
export const FIGURES_MS = 30_000

// Shut-down

/** What the services behind the gateway have for their own drain, each; never more than a quarter of all. */
export const DRAIN_RESERVE_MS = 1_000
/** How late a drain may be until it is left behind. */
export const DRAIN_LATE_MS = 500
/** After the drain: everything that is stopped and closed, and one of it. A supervisor waits ten seconds for it. */
export const SHUT_DOWN_MS = 8_000
export const SHUT_DOWN_STEP_MS = 2_000
/** Where a start fails, what had started gets this long to end. */
export const ABANDON_DRAIN_MS = 1_000

/** What of a service's drain time stays for the answers of the requests that it had to abort. */
export const ABORT_MARGIN_MS = 500

// NATS

export const NATS_DIAL_MS = 5_000
export const NATS_RECONNECT_WAIT_MS = 200
/** Between two looks at why a broker that is away does not take us back, the first one included. */
export const NATS_AWAY_MS = 3_000
/** From the moment that two brokers see each other again until each knows who is connected to the other. */
export const NATS_REJOIN_MS = 500
/** A broker that does not answer is given up after `NATS_PING_INTERVAL_MS` × (`NATS_MAX_PINGS_OUT` + 1). */
export const NATS_PING_INTERVAL_MS = 5_000
export const NATS_MAX_PINGS_OUT = 2
/** Whoever takes a large reply in pieces asks for the next ones within this time. */
export const NATS_PIECE_WAIT_MS = 10_000

// Workers

/** How often the relay asks each worker whether it hears; so many times without an answer, and it is given up. */
export const RELAY_TICK_MS = 1_000
export const RELAY_UNANSWERED_TICKS = 5
/** … and so many until a new worker has read its code and says its first word. */
export const RELAY_HELLO_TICKS = 60
/** For what needs the answer of all other workers: longer than one that hangs is waited for. */
export const RELAY_ANSWER_MS = 8_000
/** A worker that ended is replaced after a pause that doubles, and is short again once one has lived for a while. */
export const WORKER_AGAIN_MS = 500
export const WORKER_AGAIN_MAX_MS = 30_000
export const WORKER_SETTLED_MS = 60_000
/** What a worker has after its drain to end by itself: its `SHUT_DOWN_MS`, and how late its drains may be. */
export const WORKER_END_MS = 9_800
/** What `/readyz` and `/metrics` wait for a worker. */
export const WORKER_DEADLINE_MS = 2_000

// The log

/** What is not written by then is lost when the process ends. */
export const LOG_CLOSE_MS = 1_000
/** Between two attempts to write where nobody reads or the disk is full. */
export const LOG_RETRY_MS = 50

// Trial data

/** A trial server listens on its lock long before its folder has this age. */
export const TRIAL_FOLDER_YOUNG_MS = 60_000

// The database

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
/** Between two attempts to have one more connection than the server gives. */
export const DATABASE_NO_MORE_MS = 1_000
/** A connection that said nothing for so long is asked before it is used, and has so long to answer. */
export const DATABASE_PROBE_AFTER_MS = 5_000
export const DATABASE_PROBE_MS = 2_000
/** What nobody waits for any more may still end by itself; then it is cancelled, on a connection of its own. */
export const DATABASE_GRACE_MS = 200
export const DATABASE_CANCEL_MS = 1_000
/** For which others wait for a batch that is under way; then they go without it. Few commits take as long. */
export const GATHER_LATE_MS = 500
/** Between two looks for what is overdue. */
export const DATABASE_SWEEP_MS = 250

// Names of hosts

/** From then on the last answer counts: short beside what whoever connects has. */
export const LOOKUP_LATE_MS = 1_000

// The block store

/**
 * Until the store must be done, counted from the arrival of a create or from the metadata's consent to a read: with a
 * request to the metadata service it stays within `BLOCK_DEADLINE_MS`.
 */
export const STORE_DEADLINE_MS = 22_000
/** For the check of a back end at the start: longer than two attempts. */
export const STORE_OPEN_MS = 20_000
/** For one attempt: a silent server must leave time for another. */
export const STORE_ATTEMPT_MS = 8_000
/** For a login, which all waiting requests share, and for a connection. */
export const STORE_LOGIN_MS = 8_000
export const STORE_CONNECT_MS = 5_000
/** The first pause between attempts; each is twice as long as the one before, and up to half of it is left to chance. */
export const STORE_RETRY_PAUSE_MS = 200
/** For which an unused connection is kept: less than servers and load balancers usually do. */
export const STORE_KEEP_UNUSED_MS = 20_000
/** For the question whether a node that failed is back, and between two of them. */
export const STORE_PROBE_MS = 5_000
export const STORE_PROBE_PAUSE_MS = 5_000
/** After which it is asked again who a node is, where nobody could tell. */
export const STORE_ASK_AGAIN_MS = 1_000
/** After which a silent data node of RAID5 is treated like a failed one: the checksum is fetched too. */
export const RAID_HEDGE_MS = 2_000
/** For which a write that may miss nodes waits for the last ones once enough have succeeded. */
export const RAID_GRACE_MS = 5_000
/** Before the end of a reservation (`UPLOAD_LEASE_MS`) at which the store must have stopped. */
export const UPLOAD_MARGIN_MS = 1_000
/** Between two renewals of a reservation, of which one may fail. */
export const UPLOAD_RENEW_MS = 2_000
/** Between two attempts to reserve what another upload has. */
export const UPLOAD_BUSY_PAUSE_MS = 200
/** For one read, write or removal of a scrub. */
export const SCRUB_OPERATION_MS = 60_000
/** Blocks and objects younger than this may still be written. */
export const SCRUB_YOUNG_MS = 60_000
/** Longer than any create takes from its check to its end. */
export const SCRUB_CLAIM_MS = 60_000
/** For one block that an import or an export writes, reads or removes. */
export const BLOCK_COPY_MS = 60_000
/** For which a database may be silent while an import or an export waits for it, unless the operator says more. */
export const BULK_SILENCE_MS = 600_000
/** Between two looks at whether it is. */
export const BULK_LOOK_MS = 1_000

// Clients

/** A handshake, from the upgrade to the result. */
export const HANDSHAKE_MS = 60_000
/** A TLS handshake; the head of an HTTP request; all of it; what is left of it when the server closes. */
export const TLS_HANDSHAKE_MS = 10_000
export const HTTP_HEAD_MS = 15_000
export const HTTP_REQUEST_MS = 60_000
export const HTTP_CLOSE_GRACE_MS = 1_500
/** How often what came of them is looked at. */
export const HTTP_SWEEP_MS = 2_000
/**
 * An HTTP connection without a request: longer than proxies keep theirs (nginx and most others 60 to 90 s, Caddy 120 s,
 * load balancers of a large cloud 600 s), so that none of them sends a request into a closing connection.
 */
export const HTTP_KEEP_ALIVE_MS = 630_000
/** A socket that was refused with a last answer. */
export const REFUSED_SOCKET_MS = 2_000
/** A client's answer to our close frame; the same while the server stops, when thousands may be asleep. */
export const CLOSE_FRAME_MS = 10_000
export const CLOSE_FRAME_STOPPING_MS = 1_500
/** The system looks after peers that vanished; the protocol has no server pings (spec 01 §6). */
export const TCP_KEEPALIVE_MS = 120_000
/** A client that is sending a message or should read a reply: in all, plus the time that its bytes take at the slowest rate. */
export const CLIENT_PATIENCE_MS = 30_000
/** … without any byte. That none of a reply is read is noticed after twice that at the latest. */
export const CLIENT_SILENCE_MS = 20_000
/** … while the process holds as many bytes as it may. */
export const CROWDED_PATIENCE_MS = 5_000
/** How often that is looked at. */
export const CLIENT_SWEEP_MS = 1_000
/** Between two batches of connections that are closed while the server stops. */
export const DRAIN_INTERVAL_MS = 100

// Events and waits for other clients

/** An organization stays known after its last connection has left; saves the next one a round trip. */
export const ORGANIZATION_LINGER_MS = 10_000
/** For an earlier event when the first one of a series is heard. */
export const FIRST_EVENT_MS = 50
/** For a missing event: longer than another replica needs to sweep the outbox of a dead one. Then clients connect anew. */
export const EVENT_GAP_MS = 5_000
/** For one turn of telling an event to many; with what one delivery takes it stays under 10. */
export const FAN_OUT_TURN_MS = 5
/** Between two signs of life of a claimer; metadata believes each for a minute. */
export const CLAIMER_RENEW_MS = 20_000
/** Between two looks at an exchange without having been told: no lost order may leave two people waiting for each other. */
export const EXCHANGE_POLL_MS = 5_000
/** For the other side of an enrollment of API v1. */
export const ENROLLMENT_WAIT_MS = 300_000
/** A statement of a migration; its turn beside other runs; a lock, while all readers queue behind it; and the pause before it asks again. */
export const MIGRATION_STATEMENT_MS = 6 * 60 * 60_000
export const MIGRATION_TURN_MS = 600_000
export const MIGRATION_LOCK_MS = 2_000
export const MIGRATION_PAUSE_MS = 4_000

// Block uploads, files and the command line

/** A block stays reserved for an upload that says nothing more. */
export const UPLOAD_LEASE_MS = 6_000
/** A file without its name yet belongs to no running server: far longer than any write. */
export const FILE_ABANDONED_MS = 24 * 60 * 60 * 1000
/** After an idle time a scrub may spend no more than this at once. */
export const SCRUB_BURST_MS = 1_000
/** One block of an export. */
export const EXPORT_READ_MS = 30_000
/** Between two looks at the progress: for people, for programs. */
export const PROGRESS_BAR_MS = 100
export const PROGRESS_JSON_MS = 2_000
/** One look of `parsec backend check`, and what of it is long for a database that is near. */
export const CHECK_MS = 20_000
export const CHECK_NEAR_MS = 20
/** A clock that is further off than this is wrong: clients and object stores refuse what is minutes old. */
export const CHECK_CLOCK_MS = 5_000
/** A certificate that ends sooner should be renewed. */
export const CHECK_CERTIFICATE_MS = 21 * 24 * 60 * 60 * 1000
/** One call of `parsec admin`: longer than the server takes for the longest. */
export const ADMIN_CALL_MS = 120_000
/** Reports that are on their way when the program ends. */
export const TELEMETRY_FLUSH_MS = 2_000
/** Traces leave every so often; a collector has so long to take them. */
export const TRACES_EVERY_MS = 1_000
export const TRACES_SEND_MS = 10_000
/** Between two attempts of a start to reach what it needs, and between two lines in the log about it. */
export const START_PAUSE_MS = 1_000
export const START_REPEAT_MS = 30_000

// Rates

/** Wrong administration tokens are counted for so long. */
export const GUARD_WINDOW_MS = 10_000
/** Between two warnings or errors of a kind in the log. */
export const REPEATED_LINES_MS = 60_000
/** Database connections above the minimum that nobody used for so long are closed. */
export const DATABASE_IDLE_MS = 300_000
/** A claimer counts as connected for so long after its gateway has last said so. */
export const PRESENCE_LEASE_SECONDS = 60
