/** `parsec backend sequester import_service_certificate`: adds the service of a certificate file (spec 06 §6.5). */
import { readFileSync } from 'node:fs'
import { unarmorCertificate } from '@parsec/shared/certificates/sequester'
import { OperatorError } from '@parsec/shared/errors'
import type { Values } from '../../../command-line/option.ts'
import { EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { serviceKind } from '../../../sequester/service-keys.ts'
import { withDatabase } from '../../../tool-database.ts'
import { importServiceCertificateOptions } from '../../../tool-options.ts'

export const importServiceCertificateSpec = {
  path: 'parsec backend sequester import_service_certificate',
  options: importServiceCertificateOptions,
  summary: 'Add the sequester service of a certificate file.',
  description:
    'Add the service whose certificate was made by generate_service_certificate. The certificate must be signed by the authority of the organization; it may be of any age.',
  examples: [
    'parsec backend sequester import_service_certificate --organization Acme --service-certificate archive.cert',
  ],
} as const

export class ImportServiceCertificate extends ParsecCommand<typeof importServiceCertificateOptions> {
  static override summary: string = importServiceCertificateSpec.summary
  protected readonly spec = importServiceCertificateSpec

  protected override async execute(
    values: Values<typeof importServiceCertificateOptions>,
    output: Output,
  ): Promise<number> {
    const kind = serviceKind(values)
    const certificate = unarmorCertificate(readFileSync(values.serviceCertificate!, 'utf8'))
    if (!certificate) throw new OperatorError(`${values.serviceCertificate} is not a service certificate`)
    await withDatabase(values, async database => {
      const { addService } = await import('../../../sequester/services.ts')
      await addService(database, values.organization!, { certificate, ...kind })
    })
    output.out('Service created\n')
    return EXIT_OK
  }
}
