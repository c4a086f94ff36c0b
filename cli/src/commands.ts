/** Every command by its words, as oclif finds them. */
import { Init } from './commands/backend/init.ts'
import { Migrate } from './commands/backend/migrate.ts'
import { Run } from './commands/backend/run.ts'

export const COMMANDS = { 'backend:run': Run, 'backend:migrate': Migrate, 'backend:init': Init }

/** Groups of commands: what they are for, and examples. */
export const GROUPS_OF_COMMANDS: {
  readonly [words: string]: { readonly description: string; readonly examples: readonly string[] }
} = {
  '': {
    description: 'Parsec server: end-to-end encrypted file sharing, hosted by yourself.',
    examples: [
      'parsec backend run --dev          # try it: everything in memory, on http://127.0.0.1:6777',
      'parsec backend run --help         # every option of the server',
    ],
  },
  backend: {
    description: 'Run the server and look after its database.',
    examples: [
      'parsec backend run --dev',
      'parsec backend migrate --db postgresql://parsec:secret@db/parsec',
      'parsec backend run --host 0.0.0.0 --db postgresql://parsec:secret@db/parsec \\',
      "      --blockstore 's3:https\\://s3.example.com:region:bucket:key:secret' --administration-token-file /run/secrets/token",
    ],
  },
}
