/** `parsec backend sequester generate_service_certificate`: makes a certificate file, without any server (spec 06 §6.5). */
import { writeFileSync } from 'node:fs'
import { armorCertificate } from '@parsec/shared/certificates/sequester'
import type { Values } from '../../../command-line/option.ts'
import { EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { makeServiceCertificate } from '../../../sequester/service-keys.ts'
import { generateServiceCertificateOptions } from '../../../tool-options.ts'

export const generateServiceCertificateSpec = {
  path: 'parsec backend sequester generate_service_certificate',
  options: generateServiceCertificateOptions,
  summary: 'Make the certificate of a new sequester service, offline.',
  description:
    'Sign a certificate for a new service with the private key of the authority and write it to a file, for import_service_certificate. Nothing is contacted: it works on a machine without network.',
  examples: [
    'parsec backend sequester generate_service_certificate --service-label Archive \\',
    '    --service-public-key archive.pem --authority-private-key authority.key -o archive.cert',
  ],
} as const

export class GenerateServiceCertificate extends ParsecCommand<typeof generateServiceCertificateOptions> {
  static override summary: string = generateServiceCertificateSpec.summary
  protected readonly spec = generateServiceCertificateSpec

  protected override async execute(
    values: Values<typeof generateServiceCertificateOptions>,
    output: Output,
  ): Promise<number> {
    const { service_id, certificate } = makeServiceCertificate(values)
    writeFileSync(values.output!, armorCertificate(certificate))
    output.out(`Certificate of service ${values.serviceLabel} (id: ${service_id}) written to ${values.output}\n`)
    return EXIT_OK
  }
}
