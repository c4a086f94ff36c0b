/** `docs/commands.md`, made from the protocol table. */
import type { CommandSpec } from './command.ts'
import { everyCommand } from './registry.ts'

const HEAD = `# Commands

Made from the protocol table (\`libs/shared/src/protocol\`) by \`npm run docs\`. Callers: API v1 is spoken by clients of v1.0
to v1.13, v2 stands for the majors 2 and 3. *Cancellable* commands are given up, without a reply, when the client sends
another message. Every command may also answer \`bad_message\`.

| command | callers | since | answered by | statuses besides \`ok\` | specification |
|---|---|---|---|---|---|
`

export const commandsPage = (): string => HEAD + everyCommand.map(row).join('')

function row(spec: CommandSpec): string {
  const callers = (['v1', 'v2'] as const).flatMap(era => (spec.callers[era] ?? []).map(kind => `${kind} ${era}`))
  const notes = [
    spec.service,
    spec.cancellable && 'cancellable',
    spec.adminOnly && 'ADMIN only',
    spec.pending && '*not yet*',
  ]
  const statuses = spec.statuses.map(status => `\`${status}\``).join(' ')
  return `| \`${spec.cmd}\` | ${callers.join(', ')} | ${spec.since} | ${notes.filter(Boolean).join(', ')} | ${statuses} | ${spec.section} |\n`
}
