/** Every request that the service answers, a line for each domain. */
import { adminRequests } from './administration/requests.ts'
import { blockRequests } from './block/requests.ts'
import { ping } from './events/commands.ts'
import { invite } from './invite/commands.ts'
import { conduitRequests } from './invite/conduit.ts'
import { presenceRequests } from './invite/presence.ts'
import { legacy } from './legacy/commands.ts'
import { legacyInvitation, legacyInvitationRequests } from './legacy/invitation.ts'
import { maintenance } from './maintenance/commands.ts'
import { message } from './message/commands.ts'
import { administrationRequests } from './organization/administration.ts'
import { organization } from './organization/commands.ts'
import { pki } from './pki/commands.ts'
import { archiving } from './realm/archiving.ts'
import { realm } from './realm/commands.ts'
import { shamir } from './shamir/commands.ts'
import { user } from './user/commands.ts'
import { sessionRequests } from './user/handshake.ts'
import { vlob } from './vlob/commands.ts'

/** Of clients. */
export const commandHandlers = {
  ...organization,
  ...user,
  ...message,
  ...invite,
  ...realm,
  ...archiving,
  ...maintenance,
  ...vlob,
  ...legacy,
  ...legacyInvitation,
  ...pki,
  ...shamir,
  ping,
}

/** Of other services. */
export const internalHandlers = {
  ...sessionRequests,
  ...administrationRequests,
  ...adminRequests,
  ...blockRequests,
  ...legacyInvitationRequests,
  ...conduitRequests,
  ...presenceRequests,
}
