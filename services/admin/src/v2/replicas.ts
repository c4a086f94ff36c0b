/** How the services do: their replicas, the nodes of the block store, and what they warned of. */
import type { NodeFacts, ReplicaCard } from '@parsec/shared/protocol/replica'
import { z } from 'zod'
import { type Endpoint, endpoint } from '../endpoint.ts'
import { count, instant, replica, unanswered, whole } from './fields.ts'
import { byName, replicaOf, replicasOf } from './replica.ts'

const service = z
  .object({
    ...replica.shape,
    version: z.string(),
    started_on: instant(),
    is_ready: z.boolean(),
    detail: z.record(z.string(), z.string()).describe('What is missing or degraded, as `/readyz` says it.'),
  })
  .meta({ id: 'Service' })

const services = endpoint(
  {
    method: 'GET',
    path: '/v2/services',
    operationId: 'listServices',
    tag: 'Server',
    summary: 'List the replicas of all services',
    answer: z.object({ services: z.array(service), unanswered: unanswered() }),
  },
  async ({ roll }) => {
    const { answers, unanswered } = await roll.ask('state', {})
    const services = answers
      .toSorted((a, b) => byName(a.card, b.card))
      .map(({ card, reply }) => ({
        ...replicaOf(card),
        version: card.version,
        started_on: card.started_on,
        is_ready: reply.is_ready,
        detail: { ...reply.detail },
      }))
    return { services, unanswered: replicasOf(unanswered) }
  },
)

const STATES = ['ok', 'failing', 'away'] as const
const state = () => z.enum(STATES).describe('`failing`: its last operation failed; `away`: it does not answer at all.')

const node = z
  .object({
    index: count(),
    name: z.string(),
    state: state().describe('The worst of the views.'),
    views: z.array(
      z.object({
        ...replica.shape,
        state: state(),
        failing_since: instant().nullable(),
        operations: count().describe('Since the start of the replica.'),
        failures: count(),
        missing: count().describe('Reads that found nothing where a block should be.'),
        corrupt: count().describe('Reads that found no whole block.'),
      }),
    ),
  })
  .meta({ id: 'Node' })

const nodes = endpoint(
  {
    method: 'GET',
    path: '/v2/nodes',
    operationId: 'listNodes',
    tag: 'Server',
    summary: 'List the nodes of the block store',
    description: 'Each replica of the block store service has a view of its own.',
    answer: z.object({
      nodes: z.array(node),
      is_readable: z.boolean().describe('Whether every replica that answered can read blocks.'),
      unanswered: unanswered(),
    }),
  },
  async ({ roll }) => {
    const { answers, unanswered } = await roll.ask('nodes', {}, 'blockstore')
    const views = answers
      .toSorted((a, b) => byName(a.card, b.card))
      .flatMap(({ card, reply }) => reply.nodes.map((facts, index) => ({ card, facts, index })))
    const indices = [...new Set(views.map(({ index }) => index))].sort((a, b) => a - b)
    return {
      nodes: indices.map(index =>
        nodeOf(
          index,
          views.filter(view => view.index === index),
        ),
      ),
      is_readable: answers.length > 0 && answers.every(({ reply }) => reply.is_readable),
      unanswered: replicasOf(unanswered),
    }
  },
)
function nodeOf(index: number, views: readonly { card: ReplicaCard; facts: NodeFacts }[]) {
  const worst = Math.max(...views.map(({ facts }) => STATES.indexOf(facts.state)))
  return {
    index,
    name: views[0]!.facts.name,
    state: STATES[worst]!,
    views: views.map(({ card, facts: { name: _, ...facts } }) => ({ ...replicaOf(card), ...facts })),
  }
}

const warnings = endpoint(
  {
    method: 'GET',
    path: '/v2/warnings',
    operationId: 'listWarnings',
    tag: 'Server',
    summary: 'List the last warnings and errors of all logs',
    description: 'Newest first. Each process keeps its last hundred.',
    query: { limit: whole(1, 1000, 100) },
    answer: z.object({
      warnings: z.array(
        z.object({
          at: instant(),
          level: z.enum(['warning', 'error', 'critical']),
          event: z.string(),
          keys: z.record(z.string(), z.unknown()),
          ...replica.shape,
        }),
      ),
      unanswered: unanswered(),
    }),
  },
  async ({ roll }, { query: { limit } }) => {
    const { answers, unanswered } = await roll.ask('warnings', {})
    const warnings = answers
      .flatMap(({ card, reply }) => reply.warnings.map(warning => ({ ...warning, ...replicaOf(card) })))
      .sort((a, b) => b.at.us - a.at.us)
      .slice(0, limit)
      .map(({ keys, ...warning }) => ({ ...warning, keys: JSON.parse(keys) as { [name: string]: unknown } }))
    return { warnings, unanswered: replicasOf(unanswered) }
  },
)

export const replicaEndpoints: readonly Endpoint[] = [services, nodes, warnings]
