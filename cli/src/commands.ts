/** THE table of commands. A server carries the code of none but its own. */
import { type CommandClass, CommandTree } from './command-line/tree.ts'

const admin = async (words: string): Promise<CommandClass> =>
  (await import('./admin/commands.ts')).adminCommandClass(words)

/** By name, since a server shall not read their code: that of all of them is read with the first. */
const ADMIN = [
  'admin org list',
  'admin org create',
  'admin org link',
  'admin org show',
  'admin org set',
  'admin org expire',
  'admin org delete',
  'admin user list',
  'admin user freeze',
  'admin user unfreeze',
  'admin user devices',
  'admin usage',
  'admin stats',
  'admin connections',
  'admin services',
  'admin nodes',
  'admin warnings',
  'admin mail-test',
]

const COMMANDS = {
  'backend run': async () => (await import('./commands/backend/run.ts')).Run,
  'backend migrate': async () => (await import('./commands/backend/migrate.ts')).Migrate,
  'backend check': async () => (await import('./commands/backend/check.ts')).Check,
  'backend init': async () => (await import('./commands/backend/init.ts')).Init,
  'backend scrub': async () => (await import('./commands/backend/scrub.ts')).Scrub,
  'backend import': async () => (await import('./commands/backend/import.ts')).Import,
  'backend export': async () => (await import('./commands/backend/export.ts')).Export,
  'backend delete_organization': async () =>
    (await import('./commands/backend/delete-organization.ts')).DeleteOrganization,
  'backend blocks copy': async () => (await import('./commands/backend/blocks/copy.ts')).CopyBlocks,
  'backend human_accesses': async () => (await import('./commands/backend/human-accesses.ts')).HumanAccesses,
  'backend sequester create_service': async () =>
    (await import('./commands/backend/sequester/create-service.ts')).CreateService,
  'backend sequester generate_service_certificate': async () =>
    (await import('./commands/backend/sequester/generate-service-certificate.ts')).GenerateServiceCertificate,
  'backend sequester import_service_certificate': async () =>
    (await import('./commands/backend/sequester/import-service-certificate.ts')).ImportServiceCertificate,
  'backend sequester list_services': async () =>
    (await import('./commands/backend/sequester/list-services.ts')).ListServices,
  'backend sequester update_service': async () =>
    (await import('./commands/backend/sequester/update-service.ts')).UpdateService,
  'backend sequester export_realm': async () =>
    (await import('./commands/backend/sequester/export-realm.ts')).ExportRealm,
  'backend sequester extract_realm_export': async () =>
    (await import('./commands/backend/sequester/extract-realm-export.ts')).ExtractRealmExport,
  ...Object.fromEntries(ADMIN.map(words => [words, () => admin(words)])),
  completion: async () => (await import('./commands/completion.ts')).completionOf(TREE),
}

/** Groups of commands: what they are for, and examples. */
const GROUPS = {
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
      'export PARSEC_DB_FILE=/run/secrets/db PARSEC_BLOCKSTORE_FILE=/run/secrets/blockstore',
      'parsec backend migrate',
      'parsec backend run --host 0.0.0.0 --administration-token-file /run/secrets/token',
    ],
  },
  admin: {
    description: 'Administer a running server, over its administration API.',
    examples: [
      'export PARSEC_ADMIN_SERVER=https://parsec.example.com PARSEC_ADMINISTRATION_TOKEN_FILE=~/.parsec-token',
      'parsec admin org create Acme --active-users-limit 50',
      'parsec admin user list Acme',
      'parsec admin services',
    ],
  },
  'admin org': {
    description: 'Organizations: create, limit, close and delete them.',
    examples: ['parsec admin org list', 'parsec admin org create Acme'],
  },
  'admin user': {
    description: 'Users of an organization: who they are, when they were here, and keeping them out.',
    examples: ['parsec admin user list Acme', 'parsec admin user freeze Acme alice@example.com'],
  },
  'backend blocks': {
    description: 'Look after the blocks of a database.',
    examples: ['parsec backend blocks copy --help'],
  },
  'backend sequester': {
    description:
      'Manage sequester services: holders of a key for which clients encrypt a copy of what they write, in organizations that were bootstrapped with a sequester authority.',
    examples: [
      'parsec backend sequester list_services --organization Acme',
      'parsec backend sequester create_service --help',
    ],
  },
}

export const TREE: CommandTree = new CommandTree(COMMANDS, GROUPS)
