/** Destinations as people type them after `autovibe project egress`: what can be mended is, in the command that is to be pasted. */
import { AutovibeError, type EgressRule } from '@autovibe/contract'
import type { ProjectEgressOptions } from './commands/project.ts'
import { quote } from './git/repository.ts'

const PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }

/** What shall be added; `request.invalid` for addresses of pages and for hosts without a port, which no rule can be. */
export function readDestinations(project: string, given: ProjectEgressOptions): EgressRule[] {
  const rules = rulesOf(given)
  const [wrong] = rules.filter(({ destination }) => withPort(destination) !== destination)
  if (wrong === undefined) return rules
  throw new AutovibeError('request.invalid', `${JSON.stringify(wrong.destination)} is not HOST:PORT.`, {
    fix: commandOf(
      project,
      given,
      rules.map((rule) => ({ ...rule, destination: withPort(rule.destination) })),
    ),
  })
}

/** The Hub's refusal of a list, with the command that allows as private what has to be. */
export const inOptions =
  (project: string, given: ProjectEgressOptions, sent: readonly EgressRule[]) =>
  (thrown: unknown): never => {
    if (!(thrown instanceof AutovibeError)) throw thrown
    const isPrivate = new Set(
      (thrown.errors ?? []).flatMap(({ path }) => /^\/egress\/([0-9]{1,9})\/private$/.exec(path)?.[1] ?? []).map((index) => sent[Number(index)]),
    )
    if (isPrivate.size === 0) throw thrown
    const rules = rulesOf(given).map((rule) => {
      const isMeant = [...isPrivate].some((other) => other?.destination === rule.destination)
      return isMeant ? { ...rule, private: true } : rule
    })
    const { code, message, errors, requestId } = thrown
    throw new AutovibeError(code, message, { fix: commandOf(project, given, rules), errors, requestId, cause: thrown })
  }

const rulesOf = ({ allow = [], allowPrivate = [] }: ProjectEgressOptions): EgressRule[] => [
  ...allow.map((destination) => ({ destination, private: false })),
  ...allowPrivate.map((destination) => ({ destination, private: true })),
]

/** With the port that its address names or its scheme has; 443 where nothing says another. */
function withPort(text: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? URL.parse(text) : null
  if (url !== null && url.hostname !== '') return `${url.hostname}:${url.port || (PORTS[url.protocol] ?? '443')}`
  return /[:/\s]/.test(text) ? text : `${text}:443`
}

function commandOf(project: string, { remove = [] }: ProjectEgressOptions, rules: readonly EgressRule[]): string {
  const words = [
    ...rules.flatMap(({ destination, private: isPrivate }) => [isPrivate ? '--allow-private' : '--allow', quote(destination)]),
    ...remove.flatMap((destination) => ['--remove', quote(destination)]),
  ]
  return ['autovibe project egress', quote(project), ...words].join(' ')
}
