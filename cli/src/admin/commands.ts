/** Every `parsec admin` command by its words. */
import { type AdminCommand, classOf } from './command.ts'
import { organizationCommands } from './organizations.ts'
import { serverCommands } from './server.ts'
import { userCommands } from './users.ts'

export const adminCommands: readonly AdminCommand[] = [...organizationCommands, ...userCommands, ...serverCommands]

/** As oclif names them: `admin:org:list`. */
export const ADMIN_COMMANDS = Object.fromEntries(
  adminCommands.map(command => [command.path.split(' ').slice(1).join(':'), classOf(command)]),
)
