/**
 * Every bound on what others send or cause (DESIGN §11): `docs/limits.md` is made from this table, and
 * `limits.test.ts` holds that each row has a test.
 */

export type Limit = {
  readonly value: number
  readonly unit: 'bytes' | 'items' | 'characters' | 'times' | 'ms' | 'per 10 seconds' | 'per minute'
  /** What is bounded, for the documentation. */
  readonly what: string
  /** What whoever goes beyond is told. */
  readonly beyond: string
  /** The test that goes beyond: file, and a part of its title. */
  readonly test: readonly [file: string, title: string]
}

const FIELDS = 'libs/shared/src/codec/fields.test.ts'
const MSGPACK = 'libs/shared/src/codec/msgpack.test.ts'
const REQUESTS = 'libs/shared/src/protocol/requests.test.ts'
const ANSWERS = 'tests/growth/answers.test.ts'
const CERTIFICATES = 'libs/shared/src/certificates/inflated.test.ts'
const WIRE = 'tests/postgres/wire.test.ts'
const BUS = 'libs/shared/src/bus/bus.test.ts'
const ADMISSION = 'libs/shared/src/bus/admission.test.ts'
const GATHER = 'services/metadata/src/storage/gather.test.ts'
const GATE = 'services/blockstore/src/stores/node-queue.test.ts'
const BLOCK_COMMANDS = 'tests/blockstore/bounds.test.ts'
const IN_FLIGHT = 'libs/shared/src/http/in-flight.test.ts'
const SOCKETS = 'tests/limits/sockets.test.ts'
const MESSAGES = 'tests/limits/messages.test.ts'
const QUEUE = 'services/gateway/src/events/queue.test.ts'
const FAN_OUT = 'services/gateway/src/events/fan-out.test.ts'
const SESSION = 'services/gateway/src/events/session.test.ts'
const ADMINISTRATION = 'tests/administration/api.test.ts'
const BAD_MESSAGE = '`bad_message`'
const CERTIFICATE = '`invalid_certification`, or `invalid_data` where the command says so'

export const limits = {
  // What is in a message of a client
  bin: {
    value: 1_048_576,
    unit: 'bytes',
    what: 'one binary value in a message of a client (01-wire §2.2)',
    beyond: '`invalid_msg_format`',
    test: [MSGPACK, 'a bin of exactly 1 MiB passes'],
  },
  message_depth: {
    value: 1000,
    unit: 'items',
    what: 'arrays and maps inside one another',
    beyond: '`invalid_msg_format`',
    test: [MSGPACK, 'nesting ends at MAX_DEPTH'],
  },
  message_values: {
    value: 65_536,
    unit: 'items',
    what: 'values (scalars, arrays, maps and their keys) in a message of a client, or in a certificate',
    beyond: '`invalid_msg_format`; in a handshake `bad_protocol`',
    test: [MSGPACK, 'what clients say has a limited number of values'],
  },
  unauthenticated_values: {
    value: 1000,
    unit: 'items',
    what: 'such values in a message of a client that is not authenticated, and in the answer to the challenge of a handshake',
    beyond: '`invalid_msg_format`; in a handshake `bad_protocol`',
    test: [MESSAGES, 'a client that is not known may say so many values'],
  },
  name: {
    value: 32,
    unit: 'bytes',
    what: 'an organization id, user id, device name, or half of a device id, in UTF-8 and normalized',
    beyond: `${BAD_MESSAGE}; in a handshake \`bad_protocol\`; in an address 404`,
    test: [FIELDS, 'the limit of 32 counts the normalised form'],
  },
  device_label: {
    value: 255,
    unit: 'bytes',
    what: 'the label of a device or of a sequester service, in UTF-8 and normalized',
    beyond: CERTIFICATE,
    test: [FIELDS, 'device labels are one line of 1 to 255 bytes'],
  },
  human_handle: {
    value: 254,
    unit: 'bytes',
    what: 'each half of a human handle, and the email of an enrollment, in UTF-8 and normalized',
    beyond: CERTIFICATE,
    test: [FIELDS, 'human handles: an address and a label, both normalised'],
  },
  normalization: {
    value: 4,
    unit: 'times',
    what: 'a text as sent compared with its bound: no text becomes shorter than that by Unicode normalization (NFC), which is only begun within it',
    beyond: 'as for the text itself',
    test: [FIELDS, 'a text is measured before it is normalised'],
  },
  search_text: {
    value: 254,
    unit: 'bytes',
    what: 'the text that `human_find` and `user_find` search for, in UTF-8 and normalized',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'a text to search for has at most 254 bytes'],
  },
  bootstrap_token: {
    value: 254,
    unit: 'bytes',
    what: 'the token of `organization_bootstrap`',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'tokens have at most 254 and 4096 bytes'],
  },
  administration_token: {
    value: 4096,
    unit: 'bytes',
    what: 'the token of an administration handshake of API v1',
    beyond: '`bad_protocol`',
    test: [REQUESTS, 'tokens have at most 254 and 4096 bytes'],
  },
  ping: {
    value: 65_536,
    unit: 'bytes',
    what: 'the text of a `ping`',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'a ping has at most 65 536 bytes'],
  },
  pinged: {
    value: 8000,
    unit: 'bytes',
    what: 'the text of a `pinged` event',
    beyond: 'the `ping` is answered, and nobody is told of it',
    test: ['tests/limits/requests.test.ts', 'a ping too long for an event is answered and told to nobody'],
  },
  recipient_message: {
    value: 65_536,
    unit: 'bytes',
    what: 'a message for an inbox: `recipient_message`, and each of `per_participant_message`',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'messages for inboxes have at most 65 536 bytes'],
  },
  participants: {
    value: 10_000,
    unit: 'items',
    what: 'messages in `per_participant_message`',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'lists and maps are counted before they are looked into'],
  },
  reencryption_batch: {
    value: 1000,
    unit: 'items',
    what: 'entries of a re-encryption batch, asked for or saved',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'lists and maps are counted before they are looked into'],
  },
  shamir_shares: {
    value: 1000,
    unit: 'items',
    what: 'shares of a recovery, and recipients in its brief',
    beyond: `${BAD_MESSAGE}, \`invalid_data\``,
    test: [REQUESTS, 'lists and maps are counted before they are looked into'],
  },
  sequester_blobs: {
    value: 1000,
    unit: 'items',
    what: 'entries of a `sequester_blob`',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'lists and maps are counted before they are looked into'],
  },
  error_issues: {
    value: 10,
    unit: 'items',
    what: 'problems that a `bad_message` names; each text is short, whatever was sent',
    beyond: 'the others are not named',
    test: [FIELDS, 'an errors map names at most ten problems'],
  },
  // How often, and how much of it stays
  refused_administration: {
    value: 200,
    unit: 'per 10 seconds',
    what: 'calls and API v1 handshakes of one address, or one IPv6 network (/64), with a wrong administration token, at one process',
    beyond: '429, or a handshake refused with other words; nothing is logged',
    test: ['tests/limits/administration.test.ts', 'wrong tokens are counted together'],
  },
  enrollments_per_minute: {
    value: 60,
    unit: 'per minute',
    what: 'enrollments that one address, or one IPv6 network (/64), may submit to an organization, at one gateway',
    beyond: '429',
    test: ['tests/enrollment/enrollment.test.ts', 'one address may submit so many enrollments a minute'],
  },
  enrollments_submitted: {
    value: 1000,
    unit: 'items',
    what: 'enrollments of an organization that wait for an administrator',
    beyond: '`too_many_submitted`, until some are decided',
    test: ['tests/enrollment/enrollment.test.ts', 'an organization has so many enrollments that wait'],
  },
  x509_certificate: {
    value: 65_536,
    unit: 'bytes',
    what: 'an X.509 certificate or a signature of an enrollment',
    beyond: BAD_MESSAGE,
    test: [REQUESTS, 'what an enrollment consists of has at most 65 536 bytes each'],
  },
  // What a compressed text may become
  certificate: {
    value: 16_384,
    unit: 'bytes',
    what: 'an inflated certificate or enrollment payload; those of clients have a few hundred bytes',
    beyond: `${CERTIFICATE}; \`invalid_payload_data\``,
    test: [CERTIFICATES, 'an inflated certificate is bounded by its kind'],
  },
  large_certificate: {
    value: 131_072,
    unit: 'bytes',
    what: 'an inflated brief or share of a recovery',
    beyond: '`invalid_data`',
    test: [CERTIFICATES, 'an inflated certificate is bounded by its kind'],
  },
  manifest: {
    value: 67_108_864,
    unit: 'bytes',
    what: 'an inflated manifest that `extract_realm_export` reads',
    beyond: 'the folder or file is reported as not readable',
    test: [CERTIFICATES, 'a manifest of many blocks is read'],
  },
  // What the server itself keeps
  log_pending: {
    value: 8 * 1024 * 1024,
    unit: 'characters',
    what: 'log lines that wait for their reader or their disk',
    beyond: 'more lines are dropped; how many is logged when there is room again',
    test: ['tests/hosting/log-end.test.ts', 'a reader that does not read'],
  },
  // What an answer holds
  polled_vlobs: {
    value: 100_000,
    unit: 'items',
    what: 'vlobs in an answer of `vlob_poll_changes`',
    beyond: 'those that changed first, and their checkpoint; the next poll goes on from there',
    test: [ANSWERS, 'a poll answers what fits, with the checkpoint of that'],
  },
  listed_versions: {
    value: 100_000,
    unit: 'items',
    what: 'versions in an answer of `vlob_list_versions`',
    beyond: 'the newest ones; older ones can be read by their number',
    test: [ANSWERS, 'the newest versions of a vlob are listed'],
  },
  listed_messages: {
    value: 10_000,
    unit: 'items',
    what: 'messages in an answer of `message_get`',
    beyond: 'the oldest ones; the next request goes on from there',
    test: [ANSWERS, 'an inbox is read to its end'],
  },
  listed_messages_bytes: {
    value: 8_388_608,
    unit: 'bytes',
    what: 'bodies in an answer of `message_get`, but at least one',
    beyond: 'the oldest ones; the next request goes on from there',
    test: [ANSWERS, 'an inbox is read to its end'],
  },
  reencryption_batch_bytes: {
    value: 4_194_304,
    unit: 'bytes',
    what: 'versions in an answer of `vlob_maintenance_get_reencryption_batch`, but at least one; less where clients could not send them back in one message',
    beyond: 'fewer than were asked for; the next request gives others once these are saved',
    test: [ANSWERS, 'a batch of large versions is smaller than was asked for'],
  },
  // What a block store does at once
  node_operations: {
    value: 32,
    unit: 'items',
    what: 'reads and writes that run on one node of the block store; of one organization three quarters of them',
    beyond: 'they wait, organizations in turn',
    test: [GATE, 'one organization never has all places'],
  },
  object: {
    value: 16_777_220,
    unit: 'bytes',
    what: 'an object that is read from a node: the largest message, and the length that RAID5 puts before it',
    beyond: '`timeout`',
    test: [BLOCK_COMMANDS, 'an object larger than any block'],
  },
  // What a client may send, and make a process hold
  handshake_message: {
    value: 65_536,
    unit: 'bytes',
    what: 'the answer to the challenge of a handshake',
    beyond: 'the connection is closed with 1009',
    test: [MESSAGES, 'a client that is not known may send 64 KiB'],
  },
  unauthenticated_message: {
    value: 1_048_576 + 65_536,
    unit: 'bytes',
    what: 'a message of a WebSocket that is not authenticated (invited, anonymous or administration): one binary value and what is around it',
    beyond: 'the connection is closed with 1009',
    test: [MESSAGES, 'an anonymous or invited client may send 1 MiB'],
  },
  message: {
    value: 16 * 1_048_576,
    unit: 'bytes',
    what: "a message of an authenticated WebSocket (01-wire §6); less when the bus's `max_payload` is less",
    beyond: 'the connection is closed with 1009',
    test: [MESSAGES, 'an authenticated client may send 16 MiB'],
  },
  waiting_messages: {
    value: 1000,
    unit: 'items',
    what: 'messages that one client sends ahead of the reply to the first',
    beyond: 'the connection is closed with 1008',
    test: [MESSAGES, 'a client that sends a thousand messages ahead is cut'],
  },
  message_frames: {
    value: 16_384,
    unit: 'items',
    what: 'frames in which one message of a WebSocket comes',
    beyond: 'the connection is closed with 1008',
    test: [MESSAGES, 'a message may come in frames'],
  },
  pings: {
    value: 60,
    unit: 'items',
    what: 'pings of one WebSocket whose pongs are still to be sent',
    beyond: 'the connection is closed with 1008',
    test: [MESSAGES, 'a client may send pings'],
  },
  body: {
    value: 1_048_576,
    unit: 'bytes',
    what: "the body of an HTTP request (02-organization-http §6.1); of one with a command less when the bus's `max_payload` is less",
    beyond: '413',
    test: [MESSAGES, 'a body of 1 MiB is read'],
  },
  body_pieces: {
    value: 16_384,
    unit: 'items',
    what: 'pieces in which such a body comes: its chunks, or what a packet of the network brings of it',
    beyond: '413, and the connection is closed',
    test: [MESSAGES, 'a body may come in pieces'],
  },
  waiting_requests: {
    value: 32,
    unit: 'items',
    what: 'HTTP requests that one connection sends ahead of the answer to the first',
    beyond: 'the connection is closed',
    test: [MESSAGES, 'requests may be sent ahead'],
  },
  request_head: {
    value: 16_384,
    unit: 'bytes',
    what: 'request line and headers of an HTTP request together',
    beyond: '431',
    test: [MESSAGES, 'a request line has at most 16 KiB'],
  },
  bytes_in_flight: {
    value: 128 * 1_048_576,
    unit: 'bytes',
    what: 'messages, bodies and replies on their way in one process, together',
    beyond:
      'nothing larger than a small message is read on; who has let the server wait longest, and for more than 5 s, is cut',
    test: [IN_FLIGHT, 'beyond the total nothing large is read on'],
  },
  bytes_in_flight_shed: {
    value: 192 * 1_048_576,
    unit: 'bytes',
    what: 'the same, counting what was begun before the total was reached',
    beyond: 'who has let the server wait longest is cut at once',
    test: [IN_FLIGHT, 'far beyond the total, who was waited for longest is cut at once'],
  },
  small_message: {
    value: 65_536,
    unit: 'bytes',
    what: 'what one client may send, or leave unread and ask again, whatever others do',
    beyond: 'its next command waits until it has read',
    test: [IN_FLIGHT, 'beyond the total nothing large is read on'],
  },
  slowest_client: {
    value: 8192,
    unit: 'bytes',
    what: 'what the slowest client sends of a message, or reads of a reply, in each second after the first 30 s',
    beyond: 'the connection is cut',
    test: [IN_FLIGHT, 'a client that is silent, or slower than the slowest rate, is cut'],
  },
  refused_sockets: {
    value: 1000,
    unit: 'items',
    what: 'sockets above `--max-connections` that are told so with a 503',
    beyond: 'further ones are closed without a word',
    test: [SOCKETS, 'sockets of any kind count'],
  },
  half_open_handshakes: {
    value: 4096,
    unit: 'items',
    what: 'handshakes of one address, or one IPv6 network (/64), at once; proxies and offices share an address',
    beyond: '503',
    test: ['tests/limits/requests.test.ts', 'one address may have so many handshakes at once'],
  },
  // Events
  queued_events: {
    value: 100,
    unit: 'items',
    what: 'events that one client has not read (01-wire §10.4)',
    beyond: 'its connection is closed',
    test: [QUEUE, 'a hundred events wait, one more is not taken'],
  },
  queued_event_bytes: {
    value: 131_072,
    unit: 'bytes',
    what: 'the same in bytes',
    beyond: 'its connection is closed',
    test: [QUEUE, 'queues are bounded in bytes'],
  },
  all_queued_event_bytes: {
    value: 64 * 1_048_576,
    unit: 'bytes',
    what: 'events that the clients of one process have not read',
    beyond: 'a client with more than its share is closed',
    test: [QUEUE, 'queues are bounded in bytes'],
  },
  queued_events_share: {
    value: 4096,
    unit: 'bytes',
    what: 'events that a client may leave unread whatever others do',
    beyond: 'its connection is closed while the process is full',
    test: [QUEUE, 'queues are bounded in bytes'],
  },
  deferred_events: {
    value: 1000,
    unit: 'items',
    what: 'events that come while the realms of a subscribing client are read',
    beyond: 'its connection is closed',
    test: [SESSION, 'more events than a session can keep'],
  },
  event_deliveries: {
    value: 1_000_000,
    unit: 'items',
    what: 'deliveries of events that are still to be made in one process',
    beyond: 'the subscribed connections of the organization whose event was one too many are closed',
    test: [FAN_OUT, 'a group whose events come faster'],
  },
  // Administration
  administration_tokens: {
    value: 100,
    unit: 'items',
    what: 'tokens in the file of `--administration-token-file`',
    beyond: 'the server does not start, or keeps those that it has',
    test: ['libs/shared/src/http/administration-tokens.test.ts', 'a hundred tokens are read, one more is not'],
  },
  compared_fields: {
    value: 100,
    unit: 'items',
    what: 'fields of a body of the administration API that are compared with the known ones, to find a misspelt one',
    beyond: 'ignored when unknown',
    test: ['services/admin/src/body.test.ts', 'a misspelt field is looked for among so many'],
  },
  administration_page: {
    value: 1000,
    unit: 'items',
    what: 'items on one page of a list of the administration API',
    beyond: '400; the next page is asked for with `cursor`',
    test: [ADMINISTRATION, 'lists are read page by page'],
  },
  replicas: {
    value: 1000,
    unit: 'items',
    what: 'replicas of services that the administration asks',
    beyond: 'further ones are not asked',
    test: ['libs/shared/src/bus/roll.test.ts', 'no more replicas are known than may be'],
  },
  relay_backlog: {
    value: 128 * 1_048_576,
    unit: 'bytes',
    what: 'what one worker of a server has been sent by the others and has not read',
    beyond: 'it is ended, and replaced',
    test: ['libs/shared/src/bus/relay.test.ts', 'a worker that does not read is given up'],
  },
  seen_devices: {
    value: 10_000,
    unit: 'items',
    what: 'devices whose coming and going a gateway has not told yet',
    beyond: 'they are told when they come or go the next time',
    test: ['services/gateway/src/websocket/seen.test.ts', 'more devices than may wait'],
  },
  known_names: {
    value: 1000,
    unit: 'items',
    what: 'names of hosts whose last address a process keeps, for the time in which nobody can look them up',
    beyond: 'the oldest go',
    test: ['libs/shared/src/name-lookups.test.ts', 'only so many answers are kept'],
  },
  log_kinds: {
    value: 500,
    unit: 'per minute',
    what: 'kinds of warnings and errors that a process logs, each kind once',
    beyond: 'those of the same event text are of one kind',
    test: ['libs/shared/src/repetitions.test.ts', 'however many kinds there are'],
  },
  kept_warnings: {
    value: 100,
    unit: 'items',
    what: 'warnings and errors that a process keeps for the administration',
    beyond: 'the oldest go',
    test: ['libs/shared/src/log.test.ts', 'the last warnings are kept'],
  },
  waiting_spans: {
    value: 4096,
    unit: 'items',
    what: 'spans of traces that the collector has not taken yet',
    beyond: 'further ones are dropped, and counted in the log',
    test: ['cli/src/server/traces.test.ts', 'what a collector does not take is bounded'],
  },
  administration_owners: {
    value: 10,
    unit: 'items',
    what: 'owners of a realm that the administration API names',
    beyond: 'the others are not named',
    test: [ADMINISTRATION, 'usage of realms and users'],
  },
  reply: {
    value: 64 * 1024 * 1024,
    unit: 'bytes',
    what: 'a reply on the bus, in as many messages as it needs',
    beyond: 'the command fails, and its connection is closed',
    test: [BUS, 'a reply may be larger than a message, up to its own limit'],
  },
  result: {
    value: 128 * 1024 * 1024,
    unit: 'bytes',
    what: 'rows that a statement of the database gives, with what they cost in memory',
    beyond: 'the rest is passed over, the command fails, and its connection is closed',
    test: [WIRE, 'a result beyond its limit fails its statement only'],
  },
  spare_memory: {
    value: 16 * 1024 * 1024,
    unit: 'bytes',
    what: 'memory of blocks that were sent, kept for the next ones',
    beyond: 'the oldest is freed',
    test: ['libs/shared/src/lent.test.ts', 'no more is kept than its bound'],
  },
  light_commands: {
    value: 512,
    unit: 'items',
    what: 'light commands in progress at one replica of a service; of one organization half of them',
    beyond: 'they wait, organizations in turn',
    test: [ADMISSION, 'no organization fills the lane: the rest is for the others'],
  },
  waiting_commands: {
    value: 16,
    unit: 'times',
    what: 'commands that wait for their turn at one replica, compared with those that may be in progress',
    beyond: 'refused at once as not available: the connection is closed with 1013',
    test: [ADMISSION, 'what cannot begin in time is refused at once'],
  },
  gathered_writes: {
    value: 64,
    unit: 'items',
    what: 'versions of vlobs that are written in one transaction',
    beyond: 'the others go into the next one, organizations in turn',
    test: [GATHER, 'a batch takes from each organization in turn, from each in order, up to its bounds'],
  },
  gathered_blocks: {
    value: 64,
    unit: 'items',
    what: 'blocks that are checked by one statement, or added to their realms in one transaction',
    beyond: 'the others go into the next one, organizations in turn',
    test: [GATHER, 'a batch takes from each organization in turn, from each in order, up to its bounds'],
  },
  gathered_bytes: {
    value: 2 * 1024 * 1024,
    unit: 'bytes',
    what: 'the blobs of such versions together, but at least one version',
    beyond: 'the others go into the next one, organizations in turn',
    test: [GATHER, 'one that is larger than a batch goes alone'],
  },
} as const satisfies { readonly [name: string]: Limit }
