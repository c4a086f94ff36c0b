/** Every command of the service, a line for each domain. */
import type { Handlers as BusHandlers } from '@parsec/shared/bus/rpc'
import type { CommandName } from '@parsec/shared/protocol/registry'
import type { Deps, Handlers } from './context.ts'
import { ping } from './events/commands.ts'
import { invite } from './invite/commands.ts'
import { legacy } from './legacy/commands.ts'
import { legacyInvitation } from './legacy/invitation.ts'
import { maintenance } from './maintenance/commands.ts'
import { message } from './message/commands.ts'
import { organization } from './organization/commands.ts'
import { pki } from './pki/commands.ts'
import { realm } from './realm/commands.ts'
import { shamir } from './shamir/commands.ts'
import { user } from './user/commands.ts'
import { vlob } from './vlob/commands.ts'

const handlers = {
  ...organization,
  ...user,
  ...message,
  ...invite,
  ...realm,
  ...maintenance,
  ...vlob,
  ...legacy,
  ...legacyInvitation,
  ...pki,
  ...shamir,
  ping,
}

/** The handlers with what this replica works with. */
export const commandHandlers = (deps: Deps): BusHandlers<keyof typeof handlers> =>
  Object.fromEntries(
    Object.entries(handlers as Handlers<CommandName>).map(([name, handler]) => [
      name,
      (call: object, request: never) => handler({ ...deps, ...call } as never, request),
    ]),
  ) as never
