/** Every route of `/administration/v2`. */
import type { Endpoint } from './endpoint.ts'
import { connectionEndpoints } from './v2/connections.ts'
import { deletionEndpoints } from './v2/deletion.ts'
import { organizationEndpoints } from './v2/organizations.ts'
import { replicaEndpoints } from './v2/replicas.ts'
import { serverEndpoints } from './v2/server.ts'
import { usageEndpoints } from './v2/usage.ts'
import { userEndpoints } from './v2/users.ts'

export const endpoints: readonly Endpoint[] = [
  ...organizationEndpoints,
  ...deletionEndpoints,
  ...userEndpoints,
  ...usageEndpoints,
  ...connectionEndpoints,
  ...replicaEndpoints,
  ...serverEndpoints,
]
