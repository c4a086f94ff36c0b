/** `parsec backend sequester list_services` (spec 06 §6.5). */

import type { Values } from '../../../command-line/option.ts'
import { EXIT_OK, type Output, plain } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import type { SequesterService } from '../../../sequester/services.ts'
import { withDatabase } from '../../../tool-database.ts'
import { listServicesOptions } from '../../../tool-options.ts'

export const listServicesSpec = {
  path: 'parsec backend sequester list_services',
  options: listServicesOptions,
  summary: 'Show the sequester services of an organization.',
  description: 'Show the sequester services of an organization, enabled ones first.',
  examples: ['parsec backend sequester list_services --organization Acme'],
} as const

export class ListServices extends ParsecCommand<typeof listServicesOptions> {
  static override summary: string = listServicesSpec.summary
  protected readonly spec = listServicesSpec

  protected override async execute(values: Values<typeof listServicesOptions>, output: Output): Promise<number> {
    const services = await withDatabase(values, async database => {
      const { listServices } = await import('../../../sequester/services.ts')
      return listServices(database, values.organization!)
    })
    output.out(`Found ${services.length} sequester service(s)\n`)
    const isEnabled = (service: SequesterService) => service.disabled_on === null
    for (const service of [...services.filter(isEnabled), ...services.filter(s => !isEnabled(s))])
      output.out(describe(service))
    return EXIT_OK
  }
}

const describe = ({ service_label, service_id, created_on, type, webhook_url, disabled_on }: SequesterService) =>
  [
    `Service ${plain(service_label)} (id: ${service_id})\n`,
    `\tCreated on: ${created_on}\n`,
    `\tService type: ${type}\n`,
    webhook_url === null ? '' : `\tWebhook endpoint URL ${plain(webhook_url)}\n`,
    disabled_on === null ? '' : `\tDisabled on: ${disabled_on}\n`,
  ].join('')
