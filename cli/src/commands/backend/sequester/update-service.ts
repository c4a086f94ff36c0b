/** `parsec backend sequester update_service`: enables or disables a service (spec 06 §6.5). */
import { DateTime } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { Values } from '../../../command-line/option.ts'
import { EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { withDatabase } from '../../../tool-database.ts'
import { updateServiceOptions } from '../../../tool-options.ts'

export const updateServiceSpec = {
  path: 'parsec backend sequester update_service',
  options: updateServiceOptions,
  summary: 'Enable or disable a sequester service.',
  description:
    'Enable or disable a sequester service; the next write already knows. What was stored for a disabled service can still be exported.',
  examples: [
    'parsec backend sequester update_service --organization Acme --service 9c1f…0a --disable',
    'parsec backend sequester update_service --organization Acme --service 9c1f…0a --enable',
  ],
} as const

export class UpdateService extends ParsecCommand<typeof updateServiceOptions> {
  static override summary: string = updateServiceSpec.summary
  protected readonly spec = updateServiceSpec

  protected override async execute(values: Values<typeof updateServiceOptions>, output: Output): Promise<number> {
    const { enable, disable } = values
    if (enable && disable) throw new OperatorError('Enable and disable flags are both set')
    if (!enable && !disable) throw new OperatorError('Required: enable or disable flag')
    await withDatabase(values, async database => {
      const { setServiceEnabled } = await import('../../../sequester/services.ts')
      const change = { enabled: enable, now: DateTime.now() }
      await setServiceEnabled(database, values.organization!, values.service!, change)
    })
    output.out('Service updated\n')
    return EXIT_OK
  }
}
