/** Proxmox's privileges and the roles that every installation brings. */

type Level = 'root' | 'admin' | 'user' | 'audit'

const GROUPS: Readonly<Record<string, Partial<Record<Level, readonly string[]>>>> = {
  VM: {
    admin: [
      'Config.Disk',
      'Config.CPU',
      'Config.Memory',
      'Config.Network',
      'Config.HWType',
      'Config.Options',
      'Allocate',
      'Clone',
      'GuestAgent.Unrestricted',
      'Migrate',
      'Replicate',
      'Snapshot',
      'Snapshot.Rollback',
    ],
    user: ['Config.CDROM', 'Config.Cloudinit', 'Console', 'Backup', 'GuestAgent.FileRead', 'GuestAgent.FileSystemMgmt', 'GuestAgent.FileWrite', 'PowerMgmt'],
    audit: ['Audit', 'GuestAgent.Audit'],
  },
  Sys: { root: ['PowerMgmt', 'Modify', 'Incoming', 'AccessNetwork'], admin: ['Console', 'Syslog'], audit: ['Audit'] },
  Datastore: { admin: ['Allocate', 'AllocateTemplate'], user: ['AllocateSpace'], audit: ['Audit'] },
  SDN: { admin: ['Allocate', 'Audit'], user: ['Use'], audit: ['Audit'] },
  User: { admin: ['Modify'] },
  Group: { admin: ['Allocate'] },
  Realm: { root: ['Allocate'], admin: ['AllocateUser'] },
  Pool: { admin: ['Allocate'], user: ['Audit'], audit: ['Audit'] },
  Mapping: { admin: ['Modify'], user: ['Use'], audit: ['Audit'] },
}

/** User, group and realm privileges are one family when roles are made of them. */
const familyOf = (group: string): string => (group === 'Group' || group === 'Realm' ? 'User' : group)

const named = (group: string, level: Level): string[] => (GROUPS[group]?.[level] ?? []).map((name) => `${group}.${name}`)

export const ALL_PRIVILEGES: readonly string[] = [
  'Permissions.Modify',
  ...new Set(Object.keys(GROUPS).flatMap((group) => (['root', 'admin', 'user', 'audit'] as const).flatMap((level) => named(group, level)))),
]

/** Role to privileges. */
export function builtInRoles(): Map<string, ReadonlySet<string>> {
  const roles = new Map<string, Set<string>>([
    ['NoAccess', new Set()],
    ['Administrator', new Set(ALL_PRIVILEGES)],
    ['PVETemplateUser', new Set(['VM.Clone', 'VM.Audit'])],
  ])
  const grant = (role: string, privileges: readonly string[]): void => {
    const set = roles.get(role) ?? new Set()
    for (const privilege of privileges) set.add(privilege)
    roles.set(role, set)
  }
  for (const group of Object.keys(GROUPS)) {
    const family = familyOf(group)
    const [admin, user, audit] = [named(group, 'admin'), named(group, 'user'), named(group, 'audit')]
    grant(`PVE${family}Admin`, [...admin, ...user, ...audit])
    grant(
      'PVEAdmin',
      [...admin, ...user, ...audit].filter((privilege) => privilege !== 'Mapping.Modify'),
    )
    if (user.length > 0) grant(`PVE${family}User`, [...user, ...audit])
    grant('PVEAuditor', audit)
  }
  return roles
}
