/** The permission expressions of Proxmox's description, decided for one request before its parameters are even checked. */
import { type Access, normalized, ROOT } from './access.ts'
import { forbidden, listOf, passes } from './answers.ts'
import type { Check, Permissions } from './description.ts'
import type { Raw } from './parameters.ts'

/** Refuses with 403 what the expression does not allow; `who` is null for a request without credentials. */
export function checkPermissions(access: Access, permissions: Permissions | undefined, who: string | null, parameters: Raw): void {
  if (who === null) {
    if (permissions?.user === 'world') return
    throw forbidden('user != null')
  }
  if (who === ROOT) return
  if (!permissions || (permissions.user === undefined && !permissions.check)) throw forbidden(permissions ? undefined : 'user != root@pam')
  if (permissions.user === 'all' || permissions.user === 'world') return
  if (!permissions.check) throw forbidden()
  decide(access, permissions.check, who, parameters)
}

const text = (parameters: Raw, name: string): string => String(parameters[name] ?? '')
const filled = (template: string, parameters: Raw): string => normalized(template.replaceAll(/\{([^{}]+)\}/g, (_, name: string) => text(parameters, name)))

function decide(access: Access, check: Check, who: string, parameters: Raw): void {
  const [test, ...rest] = check
  switch (test) {
    case 'and':
      for (const each of rest) decide(access, each as Check, who, parameters)
      return
    case 'or':
      if (rest.some((each) => passes(() => decide(access, each as Check, who, parameters)))) return
      throw forbidden()
    case 'perm':
      permission(access, rest, who, parameters)
      return
    case 'perm-modify':
      modifies(access, filled(String(rest[0]), parameters), who)
      return
    case 'userid-param':
      ofUser(access, String(rest[0]), who, parameters)
      return
    case 'userid-group':
      ofGroups(access, rest, who, parameters)
      return
    default:
      throw new Error(`the stand-in does not know the permission test ${JSON.stringify(test)}`)
  }
}

/** What follows the first two items is pairs of a name and a value. */
const options = (pairs: Check): Map<string, unknown> =>
  new Map(pairs.flatMap((item, index) => (index % 2 === 0 ? [[String(item), pairs[index + 1]] as const] : [])))

function permission(access: Access, [template, privileges, ...pairs]: Check, who: string, parameters: Raw): void {
  const asked = options(pairs)
  const needed = asked.get('require_param')
  if (typeof needed === 'string' && (parameters[needed] === undefined || parameters[needed] === null)) throw forbidden()
  access.check(who, filled(String(template), parameters), privileges as readonly string[], Boolean(asked.get('any')))
}

function modifies(access: Access, path: string, who: string): void {
  const own = path.startsWith('/storage/')
    ? 'Datastore.Allocate'
    : path.startsWith('/vms/')
      ? 'VM.Allocate'
      : path.startsWith('/pool/')
        ? 'Pool.Allocate'
        : undefined
  access.check(who, path, own ? ['Permissions.Modify', own] : ['Permissions.Modify'], true)
}

function ofUser(access: Access, test: string, who: string, parameters: Raw): void {
  const userid = text(parameters, 'userid')
  if (test === 'self') {
    if (!access.users.has(userid) || who !== userid) throw forbidden()
    return
  }
  access.check(who, `/access/realm/${userid.split('@').at(-1) ?? ''}`, ['Realm.AllocateUser'])
}

function ofGroups(access: Access, [privileges, ...pairs]: Check, who: string, parameters: Raw): void {
  const asked = options(pairs)
  const wanted = privileges as readonly string[]
  const creating = asked.get('groups_param') === 'create'
  const user = access.users.get(text(parameters, 'userid'))
  if (!creating && !user) throw forbidden()
  if (access.may(who, '/access/groups', wanted, true)) return
  const mayOn = (group: string): boolean => access.may(who, `/access/groups/${group}`, wanted, true)
  if (asked.has('groups_param')) {
    const groups = listOf(text(parameters, 'groups'))
    const refused =
      groups.length === 0 ? '/access/groups' : groups.map((group) => `/access/groups/${group}`).find((path) => !access.may(who, path, wanted, true))
    if (refused) throw forbidden(`${refused}, ${wanted.join('|')}`)
  }
  if (!creating && !user?.groups.some(mayOn)) throw forbidden()
}
