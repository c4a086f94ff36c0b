/** Replicas as the answers name them. */
import type { ReplicaCard } from '@parsec/shared/protocol/replica'

export const replicaOf = ({ service, replica, host }: ReplicaCard) => ({ service, replica, host })
/** In an order that does not depend on who answers first. */
export const replicasOf = (cards: readonly ReplicaCard[]) => cards.toSorted(byName).map(replicaOf)
export const byName = (a: ReplicaCard, b: ReplicaCard): number =>
  a.service.localeCompare(b.service) || a.host.localeCompare(b.host) || a.replica.localeCompare(b.replica)
