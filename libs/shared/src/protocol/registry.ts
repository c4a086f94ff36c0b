/** All commands, and which one a client means (spec 01 §8.1, §12). */
import { block } from './block.ts'
import {
  type CommandSpec,
  type ContextFor,
  type Era,
  eraOf,
  type ReplyFor,
  type RequestFor,
  type ServiceName,
} from './command.ts'
import { events } from './events.ts'
import { invite } from './invite.ts'
import { legacy } from './legacy.ts'
import { maintenance } from './maintenance.ts'
import { message } from './message.ts'
import { organization } from './organization.ts'
import { pki } from './pki.ts'
import { realm } from './realm.ts'
import { shamir } from './shamir.ts'
import type { ClientKind } from './types.ts'
import { user } from './user.ts'
import { vlob } from './vlob.ts'

export const commands = {
  ...organization,
  ...user,
  ...message,
  ...invite,
  ...pki,
  ...shamir,
  ...realm,
  ...maintenance,
  ...vlob,
  ...block,
  ...events,
  ...legacy,
}

export type Commands = typeof commands
export type CommandName = keyof Commands
/** The types of one command, by its handler's name. */
export type Request<N extends CommandName> = RequestFor<Commands[N]>
export type Reply<N extends CommandName> = ReplyFor<Commands[N]>
export type CallerOf<N extends CommandName> = ContextFor<Commands[N]>

export const everyCommand: readonly CommandSpec[] = Object.values(commands)
export const commandsOf = (service: ServiceName): readonly CommandSpec[] =>
  everyCommand.filter(spec => spec.service === service && !spec.pending)

type ByName = Map<string, CommandSpec>
/** By the caller's era and kind. */
const byCaller: { readonly [E in Era]: Map<ClientKind, ByName> } = { v1: new Map(), v2: new Map() }
for (const spec of everyCommand) {
  if (spec.pending) continue
  for (const era of ['v1', 'v2'] as const satisfies readonly Era[])
    for (const kind of spec.callers[era] ?? []) {
      const byName: ByName = byCaller[era].get(kind) ?? new Map()
      byCaller[era].set(kind, byName.set(spec.cmd, spec))
    }
}

/** The command that `cmd` names for such a client, or undefined: `unknown_command`. Revisions play no part. */
export function findCommand(cmd: unknown, kind: ClientKind, major: number): CommandSpec | undefined {
  return typeof cmd === 'string' ? byCaller[eraOf(major)].get(kind)?.get(cmd) : undefined
}
