/** Options of `parsec backend blocks copy`. */
import { type OptionTable, required, type Values } from '../command-line/option.ts'
import { BLOCKSTORE } from '../command-line/values.ts'
import { databaseToolOptions } from '../options.ts'
import { scrubOptions } from '../scrub/options.ts'

const { maxRate, state, json } = scrubOptions

export const copyOptions = {
  db: scrubOptions.db,
  from: required(true, {
    name: 'from',
    type: BLOCKSTORE,
    repeatable: true,
    secret: true,
    group: 'Block storage',
    text: 'The block store that has the blocks, written as `--blockstore` of `parsec backend run`; all nodes of an array, in the same order.',
  }),
  to: required(true, {
    name: 'to',
    type: BLOCKSTORE,
    repeatable: true,
    secret: true,
    group: 'Block storage',
    text: 'The block store that gets them.',
  }),
  maxRate,
  state: {
    ...state,
    text: 'File that remembers how far the copy has come; the same command then goes on after an interruption, and later copies only what is new.',
  },
  json,
  ...databaseToolOptions,
} as const satisfies OptionTable
export type CopyValues = Values<typeof copyOptions>
