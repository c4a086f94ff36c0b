/** `parsec backend human_accesses`: who had access to which realm, and when (spec 06 §6.4). */

import type { Values } from '../../command-line/option.ts'
import { EXIT_OK, type Output, plain } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import type { UserAccesses } from '../../human-accesses.ts'
import { withDatabase } from '../../tool-database.ts'
import { humanAccessesOptions } from '../../tool-options.ts'

export const humanAccessesSpec = {
  path: 'parsec backend human_accesses',
  options: humanAccessesOptions,
  summary: 'Show who had access to which realm, and when.',
  description:
    'Show the users of an organization by person, with every role that they had in every realm. Names of realms are encrypted: the server knows their ids only.',
  examples: [
    'parsec backend human_accesses --organization Acme',
    'parsec backend human_accesses --organization Acme --filter alice@example.com',
  ],
} as const

export class HumanAccesses extends ParsecCommand<typeof humanAccessesOptions> {
  static override summary: string = humanAccessesSpec.summary
  protected readonly spec = humanAccessesSpec

  protected override async execute(values: Values<typeof humanAccessesOptions>, output: Output): Promise<number> {
    const users = await withDatabase(values, async database => {
      const { humanAccesses } = await import('../../human-accesses.ts')
      return humanAccesses(database, values.organization!, values.filter)
    })
    const humans = Map.groupBy(
      users.filter(user => user.email !== null),
      user => user.email,
    )
    output.out(`Found ${humans.size} result(s)\n`)
    for (const [email, users] of humans) {
      output.out(`Human ${plain(`${users[0]!.label} ${email}`)}\n`)
      for (const user of users) output.out(describe(user, '\t'))
      output.out('\n')
    }
    for (const user of users.filter(user => user.email === null)) output.out(describe(user, ''))
    return EXIT_OK
  }
}

function describe({ user_id, profile, created_on, revoked_on, realms }: UserAccesses, indent: string): string {
  const revoked = revoked_on === null ? '' : `, revoked on ${revoked_on}`
  const lines = [`${indent}User ${user_id} (${profile}, created on ${created_on}${revoked})`]
  for (const { realm_id, changes } of realms) {
    lines.push(`${indent}\tRealm ${realm_id}`)
    for (const { role, certified_on } of changes)
      lines.push(`${indent}\t\t${certified_on}: Access ${role === null ? 'removed' : `${role} granted`}`)
  }
  return lines.map(line => `${line}\n`).join('')
}
