/** Every command by its words, as oclif finds them. */

import { ADMIN_COMMANDS } from './admin/commands.ts'
import { CopyBlocks } from './commands/backend/blocks/copy.ts'
import { Check } from './commands/backend/check.ts'
import { DeleteOrganization } from './commands/backend/delete-organization.ts'
import { Export } from './commands/backend/export.ts'
import { HumanAccesses } from './commands/backend/human-accesses.ts'
import { Import } from './commands/backend/import.ts'
import { Init } from './commands/backend/init.ts'
import { Migrate } from './commands/backend/migrate.ts'
import { Run } from './commands/backend/run.ts'
import { Scrub } from './commands/backend/scrub.ts'
import { CreateService } from './commands/backend/sequester/create-service.ts'
import { ExportRealm } from './commands/backend/sequester/export-realm.ts'
import { ExtractRealmExport } from './commands/backend/sequester/extract-realm-export.ts'
import { GenerateServiceCertificate } from './commands/backend/sequester/generate-service-certificate.ts'
import { ImportServiceCertificate } from './commands/backend/sequester/import-service-certificate.ts'
import { ListServices } from './commands/backend/sequester/list-services.ts'
import { UpdateService } from './commands/backend/sequester/update-service.ts'
import { Completion } from './commands/completion.ts'

export const COMMANDS = {
  'backend:run': Run,
  'backend:migrate': Migrate,
  'backend:check': Check,
  'backend:init': Init,
  'backend:scrub': Scrub,
  'backend:import': Import,
  'backend:export': Export,
  'backend:delete_organization': DeleteOrganization,
  'backend:blocks:copy': CopyBlocks,
  'backend:human_accesses': HumanAccesses,
  'backend:sequester:create_service': CreateService,
  'backend:sequester:generate_service_certificate': GenerateServiceCertificate,
  'backend:sequester:import_service_certificate': ImportServiceCertificate,
  'backend:sequester:list_services': ListServices,
  'backend:sequester:update_service': UpdateService,
  'backend:sequester:export_realm': ExportRealm,
  'backend:sequester:extract_realm_export': ExtractRealmExport,
  ...ADMIN_COMMANDS,
  completion: Completion,
}

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
  'admin:org': {
    description: 'Organizations: create, limit, close and delete them.',
    examples: ['parsec admin org list', 'parsec admin org create Acme'],
  },
  'admin:user': {
    description: 'Users of an organization: who they are, when they were here, and keeping them out.',
    examples: ['parsec admin user list Acme', 'parsec admin user freeze Acme alice@example.com'],
  },
  'backend:blocks': {
    description: 'Look after the blocks of a database.',
    examples: ['parsec backend blocks copy --help'],
  },
  'backend:sequester': {
    description:
      'Manage sequester services: holders of a key for which clients encrypt a copy of what they write, in organizations that were bootstrapped with a sequester authority.',
    examples: [
      'parsec backend sequester list_services --organization Acme',
      'parsec backend sequester create_service --help',
    ],
  },
}
