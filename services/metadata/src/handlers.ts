/** Every command of the service, a line for each domain. */
import type { Handlers as BusHandlers } from '@parsec/shared/bus/rpc'
import type { CommandName } from '@parsec/shared/protocol/registry'
import type { Deps, Handlers } from './context.ts'
import { ping } from './domains/events.ts'
import { invite } from './domains/invite.ts'
import { legacy } from './domains/legacy.ts'
import { legacyInvitation } from './domains/legacy-invitation.ts'
import { maintenance } from './domains/maintenance.ts'
import { message } from './domains/message.ts'
import { organization } from './domains/organization.ts'
import { pki } from './domains/pki.ts'
import { realm } from './domains/realm.ts'
import { shamir } from './domains/shamir.ts'
import { user } from './domains/user.ts'
import { vlob } from './domains/vlob.ts'

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
