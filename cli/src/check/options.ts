/** Options of `parsec backend check`: those of the server, as far as something can be looked at. */
import { flag, type Option, type OptionTable, optional, type Values } from '../command-line/option.ts'
import { runOptions } from '../options.ts'

const asked = <T>(option: Option<T>): Option<T> => ({ ...option, required: false })
export const checkOptions = {
  services: runOptions.services,
  db: asked(runOptions.db),
  dbMinConnections: runOptions.dbMinConnections,
  dbMaxConnections: runOptions.dbMaxConnections,
  blockstore: asked(runOptions.blockstore),
  natsUrl: runOptions.natsUrl,
  natsSubjectPrefix: runOptions.natsSubjectPrefix,
  natsCreds: runOptions.natsCreds,
  natsTlsCa: runOptions.natsTlsCa,
  natsTlsCert: runOptions.natsTlsCert,
  natsTlsKey: runOptions.natsTlsKey,
  emailHost: runOptions.emailHost,
  emailPort: runOptions.emailPort,
  emailHostUser: runOptions.emailHostUser,
  emailHostPassword: runOptions.emailHostPassword,
  emailUseSsl: runOptions.emailUseSsl,
  emailUseTls: runOptions.emailUseTls,
  emailSender: runOptions.emailSender,
  emailLanguage: runOptions.emailLanguage,
  sslKeyfile: runOptions.sslKeyfile,
  sslCertfile: runOptions.sslCertfile,
  backendAddr: optional({
    ...runOptions.backendAddr,
    text: 'Public address of the server: it is looked at as clients reach it.',
  }),
  json: flag({ name: 'json', group: 'General', text: 'Print what was found as JSON, one object a line.' }),
  debug: runOptions.debug,
} as const satisfies OptionTable
export type CheckValues = Values<typeof checkOptions>
