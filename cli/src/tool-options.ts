/** Options of the commands that look after organizations in the database: `human_accesses` and `sequester …` (spec 06 §6.3–6.5). */
import { deviceLabel, organizationId, parse } from '@parsec/shared/codec/fields'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { flag, type OptionTable, optional, required, type Values, withDefault } from './command-line/option.ts'
import { choice, FILE, POSTGRESQL_URL, TEXT, type ValueType } from './command-line/values.ts'
import { runOptions } from './options.ts'
import { takeoverOptions } from './takeover/options.ts'

const ORGANIZATION: ValueType<string> = {
  metavar: 'ID',
  parse(text) {
    const id = parse(organizationId(), text)
    if (!id.ok) throw new Error(`'${text}' is not a valid organization id.`)
    return id.value
  },
}
/** As certificates may have it, and lists show it. */
const LABEL: ValueType<string> = {
  metavar: 'TEXT',
  parse(text) {
    const label = parse(deviceLabel(), text)
    if (!label.ok) throw new Error('must be one line of 1 to 255 bytes.')
    return label.value
  },
}
const HEX_ID: ValueType<Uuid> = {
  metavar: 'HEX',
  parse(text) {
    const id = Uuid.parse(text)
    if (!id) throw new Error(`'${text}' is not a valid id: it has 32 hexadecimal digits.`)
    return id
  },
}
/** The beginning of a day, UTC. */
const DAY: ValueType<DateTime> = {
  metavar: 'YYYY-MM-DD',
  parse(text) {
    const day = /^\d{4}-\d\d-\d\d$/.test(text) ? DateTime.parse(`${text}T00:00:00Z`) : undefined
    if (!day) throw new Error(`'${text}' is not a day in the form YYYY-MM-DD.`)
    return day
  },
}
/** Absolute, http or https, without a password: it is shown in lists and logs. */
const WEBHOOK_URL: ValueType<string> = {
  metavar: 'URL',
  parse(text) {
    const url = URL.parse(text)
    if (!url || !/^https?:$/.test(url.protocol)) throw new Error(`'${text}' is not an http or https URL.`)
    if (url.username !== '' || url.password !== '')
      throw new Error('A URL with a user name or password is not supported.')
    return text
  },
}
const PATH = { ...TEXT, metavar: 'PATH' }

const REAL_DATABASE: ValueType<string> = {
  ...POSTGRESQL_URL,
  parse(text) {
    if (text.toUpperCase() === 'MOCKED') throw new Error('MOCKED DB can not be used with sequester services')
    return POSTGRESQL_URL.parse(text)
  },
}
const databaseOptions = {
  db: required(true, {
    name: 'db',
    env: ['PARSEC_DB'],
    type: REAL_DATABASE,
    secret: true,
    group: 'Database',
    text: 'PostgreSQL database of the server: postgresql://user:password@host:port/database?parameters.',
  }),
  dbMinConnections: { ...runOptions.dbMinConnections },
  dbMaxConnections: { ...runOptions.dbMaxConnections },
} as const
const { debug, logLevel, logFormat, logFile } = runOptions
const commonOptions = { logLevel, logFormat, logFile, debug } as const

const organization = required(true, {
  name: 'organization',
  type: ORGANIZATION,
  group: 'Organizations',
  text: 'Id of the organization.',
})
const service = required(true, {
  name: 'service',
  type: HEX_ID,
  group: 'Organizations',
  text: 'Id of the sequester service, as `list_services` shows it.',
})
const servicePublicKey = required(true, {
  name: 'service-public-key',
  type: FILE,
  group: 'Organizations',
  text: 'RSA public key of the service (PEM or DER): clients encrypt for it.',
})
const authorityPrivateKey = required(true, {
  name: 'authority-private-key',
  type: FILE,
  group: 'Organizations',
  text: 'RSA private key (PEM or DER) of the authority that the organization was bootstrapped with. It is not stored.',
})
const serviceLabel = required(true, {
  name: 'service-label',
  type: LABEL,
  group: 'Organizations',
  text: 'Name of the service, shown to users.',
})
const serviceType = withDefault('storage', {
  name: 'service-type',
  type: choice(['storage', 'webhook']),
  group: 'Organizations',
  text: 'storage: the server keeps what clients encrypt for the service; webhook: it is sent to --webhook-url, which may refuse it, and is not kept.',
})
const webhookUrl = optional({
  name: 'webhook-url',
  type: WEBHOOK_URL,
  group: 'Organizations',
  text: 'Where the server posts each version to before it is stored; for --service-type=webhook, which needs it.',
})

export const humanAccessesOptions = {
  organization,
  filter: withDefault('', {
    name: 'filter',
    type: TEXT,
    defaultText: 'every user',
    group: 'Organizations',
    text: 'Only users whose name, address and id, in lower case, have all these words.',
  }),
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const createServiceOptions = {
  organization,
  servicePublicKey,
  authorityPrivateKey,
  serviceLabel,
  serviceType,
  webhookUrl,
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const generateServiceCertificateOptions = {
  serviceLabel,
  servicePublicKey,
  authorityPrivateKey,
  output: required(true, {
    name: 'output',
    short: 'o',
    type: PATH,
    group: 'General',
    text: 'File to write the certificate to.',
  }),
  debug,
} as const satisfies OptionTable

export const importServiceCertificateOptions = {
  serviceCertificate: required(true, {
    name: 'service-certificate',
    type: FILE,
    group: 'Organizations',
    text: 'File made by `generate_service_certificate`.',
  }),
  organization,
  serviceType,
  webhookUrl,
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const listServicesOptions = {
  organization,
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const updateServiceOptions = {
  organization,
  service,
  enable: flag({ name: 'enable', group: 'Organizations', text: 'Require blobs for the service again.' }),
  disable: flag({ name: 'disable', group: 'Organizations', text: 'Require no blobs for the service any more.' }),
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const exportRealmOptions = {
  organization,
  realm: required(true, { name: 'realm', type: HEX_ID, group: 'Organizations', text: 'Id of the realm.' }),
  service,
  output: required(true, {
    name: 'output',
    type: PATH,
    group: 'General',
    text: 'File to write; in a directory, parsec-sequester-export-realm-<realm>.sqlite. An export that exists is continued.',
  }),
  blockstore: { ...runOptions.blockstore, required: true },
  ...databaseOptions,
  ...commonOptions,
} as const satisfies OptionTable

export const extractRealmExportOptions = {
  serviceDecryptionKey: required(true, {
    name: 'service-decryption-key',
    type: FILE,
    group: 'General',
    text: 'RSA private key (PEM or DER) of the service.',
  }),
  input: required(true, { name: 'input', type: FILE, group: 'General', text: 'File made by `export_realm`.' }),
  output: required(true, {
    name: 'output',
    type: { ...PATH, metavar: 'DIR' },
    group: 'General',
    text: 'Directory to write the files to; made when it does not exist.',
  }),
  filterDate: optional({
    name: 'filter-date',
    type: DAY,
    defaultText: 'the newest state',
    group: 'General',
    text: 'Take the files as they were at the beginning of that day (UTC).',
  }),
  debug,
} as const satisfies OptionTable

/** Every table by the words of its command. */
export const toolOptions = {
  ...takeoverOptions,
  human_accesses: humanAccessesOptions,
  'sequester create_service': createServiceOptions,
  'sequester generate_service_certificate': generateServiceCertificateOptions,
  'sequester import_service_certificate': importServiceCertificateOptions,
  'sequester list_services': listServicesOptions,
  'sequester update_service': updateServiceOptions,
  'sequester export_realm': exportRealmOptions,
  'sequester extract_realm_export': extractRealmExportOptions,
} as const

export type DatabaseValues = Values<typeof databaseOptions & typeof commonOptions>
