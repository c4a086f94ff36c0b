/**
 * The deletion of an organization, in two steps: without a code it tells what would go and the code, with the code it
 * deletes. It works for as long as a caller waits; who asks again goes on.
 */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { DELETION_CALL_MS } from '@parsec/shared/deadlines'
import type { DeletionStep } from '@parsec/shared/protocol/internal'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import { ORGANIZATION } from './fields.ts'

const deleteOrganization = endpoint(
  {
    path: '/v2/organizations/{organization_id}',
    operationId: 'deleteOrganization',
    tag: 'Organizations',
    method: 'DELETE',
    summary: 'Delete an organization',
    description:
      'In two steps. Without `confirm` nothing is deleted: the answer (409) tells what would go (`users`, `realms`, `data_size`), and a `code`. With `confirm` and that code the organization is closed, its users are disconnected, and everything that it has is removed, its blocks in the block store too.\n\nLarge organizations take several calls: after 202 (`is_deleted` is false) the same call goes on with what is left, and so it does after a failure or an interruption. There is no way back; `parsec backend export --blocks` makes an archive before.',
    params: ORGANIZATION,
    query: {
      confirm: z
        .string()
        .optional()
        .describe('The `code` of the first answer. It is another one once users or realms have changed.'),
    },
    answer: z.object({ is_deleted: z.boolean() }),
    isUnfinished: ({ is_deleted }) => !is_deleted,
    refusals: { 400: ['bad_data'], 409: ['confirmation_required'] },
  },
  async ({ bus }, { params: { organization_id }, query: { confirm } }) => {
    if (confirm === undefined) {
      const { status, ...doomed } = await callInternal(bus, 'administration_doomed', { organization_id })
      if (status !== 'ok') return refuse(404, status)
      return refuse(409, 'confirmation_required', 'With `confirm` and this code all of it is deleted for good.', doomed)
    }
    const step = await deleteInTime(bus, organization_id, confirm)
    if (step === 'not_found') return refuse(404, step)
    if (step === 'bad_code')
      return refuse(400, 'bad_data', 'confirm: This is not the code of the organization as it is now.')
    return { is_deleted: step === 'deleted' }
  },
)

/** Rows, then objects, which the block store removes, then what is left. */
async function deleteInTime(bus: Bus, organization_id: OrganizationID, code: string): Promise<DeletionStep> {
  const until = performance.now() + DELETION_CALL_MS
  let objectsAreGone = false
  for (;;) {
    const { status } = await callInternal(bus, 'administration_delete', { organization_id, code, objectsAreGone })
    if (status !== 'going_on' && status !== 'rows_gone') return status
    if (status === 'rows_gone')
      objectsAreGone = (await callInternal(bus, 'objects_remove', { organization_id })).are_gone
    if (performance.now() >= until) return 'going_on'
  }
}

export const deletionEndpoints: readonly Endpoint[] = [deleteOrganization]
