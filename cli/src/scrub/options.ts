/** Options of `parsec backend scrub`. */
import { duration } from '../command-line/duration.ts'
import { flag, type OptionTable, optional, required, type Values, withDefault } from '../command-line/option.ts'
import { FLOAT, INT, TEXT } from '../command-line/values.ts'
import { databaseToolOptions, migrateOptions, runOptions } from '../options.ts'

export const scrubOptions = {
  db: required(true, {
    ...migrateOptions.db,
    text: 'PostgreSQL database of the server, which knows the blocks: postgresql://user:password@host:port/database?parameters.',
  }),
  blockstore: required(true, {
    ...runOptions.blockstore,
    text: 'The block store of the server, written as for `parsec backend run`: all nodes, in the same order.',
  }),
  repair: flag({
    name: 'repair',
    group: 'Block storage',
    text: 'Write what is missing or corrupt, as far as the other nodes of a RAID1 or RAID5 tell what it should be.',
  }),
  adopt: flag({
    name: 'adopt',
    group: 'Block storage',
    text: 'Make the storages of --blockstore the nodes of this database, whatever they were before: after a disk or bucket was replaced (with --node, only that one), or when the array changes its form. Until then servers refuse them.',
  }),
  node: optional({
    name: 'node',
    type: INT,
    group: 'Block storage',
    defaultText: 'all',
    text: 'Compare this node only and believe the others. With --repair it refills a node that was replaced.',
  }),
  degraded: flag({
    name: 'degraded',
    group: 'Block storage',
    text: 'Only blocks that were accepted while a node was away (`--raid-degraded-writes`): what to repair first.',
  }),
  deleteOrphans: flag({
    name: 'delete-orphans',
    group: 'Block storage',
    text: 'Remove objects that belong to no block of the database. Never those of organizations that it does not know.',
  }),
  olderThan: withDefault(24 * 3_600_000, {
    name: 'older-than',
    type: duration('1h'),
    group: 'Block storage',
    defaultText: '24h',
    text: 'Age from which orphans are removed, at least 1h: 15m, 24h, 7d.',
  }),
  maxRate: optional({
    name: 'max-rate',
    type: FLOAT,
    group: 'Block storage',
    defaultText: 'no limit',
    text: 'Most MiB a second that are read and written, over all nodes.',
  }),
  state: optional({
    name: 'state',
    type: { ...TEXT, metavar: 'PATH' },
    group: 'General',
    defaultText: 'none',
    text: 'File that remembers how far the work has come; the same command then goes on after an interruption. It is removed at the end.',
  }),
  json: flag({ name: 'json', group: 'General', text: 'Print one JSON object a line.' }),
  ...databaseToolOptions,
} as const satisfies OptionTable
export type ScrubValues = Values<typeof scrubOptions>
