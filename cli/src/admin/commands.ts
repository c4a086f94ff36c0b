/** Every `parsec admin` command by its words. */
import { type AdminCommand, classOf } from './command.ts'
import { organizationCommands } from './organizations.ts'
import { serverCommands } from './server.ts'
import { userCommands } from './users.ts'

export const adminCommands: readonly AdminCommand[] = [...organizationCommands, ...userCommands, ...serverCommands]

/** By the words behind `parsec`. */
export const adminCommandClass = (words: string) =>
  classOf(adminCommands.find(({ path }) => path === `parsec ${words}`)!)
