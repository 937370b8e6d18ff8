/** Who may do what: users, tokens, groups, roles and the access list, put together as Proxmox puts them together. */
import { forbidden } from './answers.ts'
import { ALL_PRIVILEGES, builtInRoles } from './privileges.ts'

export const ROOT = 'root@pam'

export interface User {
  readonly password: string | null
  readonly enabled: boolean
  readonly groups: readonly string[]
}
export interface Token {
  readonly secret: string
  /** Separated: what the token may do is what both it and its user may do. */
  readonly privilegeSeparated: boolean
  readonly expiresAt: number
}
export interface Grant {
  readonly path: string
  /** A user `name@realm`, a token `name@realm!id`, or a group `@name`. */
  readonly who: string
  readonly role: string
  readonly propagate: boolean
}

/** Privilege to whether it reaches what is below the path. */
export type Privileges = ReadonlyMap<string, boolean>

/** Which pool a VM or a storage is in: a role on the pool counts on its members. */
export interface PoolMembers {
  poolsOf(path: string): readonly string[]
}

export class Access {
  readonly users = new Map<string, User>([[ROOT, { password: null, enabled: true, groups: [] }]])
  readonly tokens = new Map<string, Token>()
  readonly roles = builtInRoles()
  readonly grants: Grant[] = []
  readonly #pools: PoolMembers

  constructor(pools: PoolMembers) {
    this.#pools = pools
  }

  addUser(userid: string, user: Partial<User> = {}): void {
    this.users.set(userid, { password: null, enabled: true, groups: [], ...user })
  }

  addToken(tokenid: string, secret: string, token: Partial<Omit<Token, 'secret'>> = {}): void {
    this.tokens.set(tokenid, { privilegeSeparated: true, expiresAt: 0, ...token, secret })
  }

  addRole(role: string, privileges: readonly string[]): void {
    const unknown = privileges.filter((privilege) => !ALL_PRIVILEGES.includes(privilege))
    if (unknown.length > 0) throw new Error(`no such privilege: ${unknown.join(', ')}`)
    this.roles.set(role, new Set(privileges))
  }

  grant(path: string, who: string, role: string, propagate = true): void {
    if (!this.roles.has(role)) throw new Error(`no such role: ${role}`)
    this.grants.push({ path: normalized(path), who, role, propagate })
  }

  /** Takes grants away: of a VM that is removed, of a token that is gone. */
  revoke(which: (grant: Grant) => boolean): void {
    for (let index = this.grants.length - 1; index >= 0; index -= 1) {
      const grant = this.grants[index]
      if (grant && which(grant)) this.grants.splice(index, 1)
    }
  }

  privileges(who: string, path: string): Privileges {
    if (who === ROOT) return new Map(ALL_PRIVILEGES.map((privilege) => [privilege, true]))
    const token = this.tokens.get(who)
    const owner = ownerOf(who)
    if (owner === who) return this.#own(who, path)
    if (!token) return new Map()
    const ofOwner = this.privileges(owner, path)
    if (!token.privilegeSeparated) return ofOwner
    const both = [...this.#own(who, path)].filter(([privilege]) => ofOwner.has(privilege))
    return new Map(both.map(([privilege, propagate]) => [privilege, propagate && ofOwner.get(privilege) === true]))
  }

  /** True when `who` has all (or, with `any`, one) of the privileges on the path. */
  may(who: string, path: string, privileges: readonly string[], any = false): boolean {
    const held = this.privileges(who, path)
    return any ? privileges.some((privilege) => held.has(privilege)) : privileges.every((privilege) => held.has(privilege))
  }

  /** The same, refused in Proxmox's words. */
  check(who: string, path: string, privileges: readonly string[], any = false): void {
    const held = this.privileges(who, path)
    if (any) {
      if (!privileges.some((privilege) => held.has(privilege))) throw forbidden(`${path}, ${privileges.join('|')}`)
      return
    }
    const missing = privileges.find((privilege) => !held.has(privilege))
    if (missing !== undefined) throw forbidden(`${path}, ${missing}`)
  }

  /** A privilege on a VM, or on the pool that it is in or about to be in. */
  checkVm(who: string, vmid: number, pool: string | undefined, privileges: readonly string[], any = false): void {
    if (pool !== undefined && this.may(who, `/pool/${pool}`, privileges, any)) return
    this.check(who, `/vms/${vmid}`, privileges, any)
  }

  #own(who: string, path: string): Privileges {
    const roles = this.#roles(who, path)
    if (!roles.has('NoAccess')) {
      const ofPools = this.#pools.poolsOf(path).flatMap((pool) => [...this.#roles(who, `/pool/${pool}`).keys()])
      if (ofPools.includes('NoAccess')) return new Map()
      for (const role of ofPools) if (!roles.has(role)) roles.set(role, false)
    }
    const held = new Map<string, boolean>()
    for (const [role, propagate] of roles) for (const privilege of this.roles.get(role) ?? []) held.set(privilege, (held.get(privilege) ?? false) || propagate)
    return held
  }

  /** From the root to the path: what is granted nearer replaces what was inherited, and a user's own grant replaces the groups'. */
  #roles(who: string, path: string): Map<string, boolean> {
    const groups = (this.users.get(who)?.groups ?? []).map((group) => `@${group}`)
    let roles = new Map<string, boolean>()
    for (const at of ancestry(path)) {
      const here = this.grants.filter((grant) => grant.path === at && (at === path || grant.propagate))
      const own = here.filter((grant) => grant.who === who)
      const applied = own.length > 0 ? own : here.filter((grant) => groups.includes(grant.who))
      if (applied.length > 0) roles = new Map(applied.map((grant) => [grant.role, grant.propagate]))
    }
    return roles
  }
}

export const ownerOf = (who: string): string => who.split('!')[0] ?? who

export function normalized(path: string): string {
  const clean = `/${path}`.replaceAll(/\/+/g, '/')
  return clean === '/' ? clean : clean.replace(/\/$/, '')
}

const ancestry = (path: string): string[] =>
  path === '/'
    ? ['/']
    : [
        '/',
        ...path
          .split('/')
          .slice(1)
          .map((_, index, all) => `/${all.slice(0, index + 1).join('/')}`),
      ]
