/** `parsec backend sequester create_service`: signs a certificate and adds the service (spec 06 §6.5). */
import type { Values } from '../../../command-line/option.ts'
import { EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { makeServiceCertificate, serviceKind } from '../../../sequester/service-keys.ts'
import { withDatabase } from '../../../tool-database.ts'
import { createServiceOptions } from '../../../tool-options.ts'

export const createServiceSpec = {
  path: 'parsec backend sequester create_service',
  options: createServiceOptions,
  summary: 'Add a sequester service to an organization.',
  description:
    'Sign a certificate for a new service with the private key of the authority, and add the service. From the next write on, clients must send a blob that is encrypted for it; older data is not encrypted for it. Where the authority key must not leave another machine, use generate_service_certificate there and import_service_certificate here.',
  examples: [
    'parsec backend sequester create_service --organization Acme --service-label Archive \\',
    '    --service-public-key archive.pem --authority-private-key authority.key',
    'parsec backend sequester create_service --organization Acme --service-label Scanner \\',
    '    --service-public-key scanner.pem --authority-private-key authority.key \\',
    '    --service-type webhook --webhook-url https://scanner.example.com/parsec',
  ],
} as const

export class CreateService extends ParsecCommand<typeof createServiceOptions> {
  static override summary: string = createServiceSpec.summary
  protected readonly spec = createServiceSpec

  protected override async execute(values: Values<typeof createServiceOptions>, output: Output): Promise<number> {
    const kind = serviceKind(values)
    const { certificate } = makeServiceCertificate(values)
    await withDatabase(values, async database => {
      const { addService } = await import('../../../sequester/services.ts')
      await addService(database, values.organization!, { certificate, ...kind })
    })
    output.out('Service created\n')
    return EXIT_OK
  }
}
