/** What the token may do, against what is needed, privilege by privilege; and whether it may do more than that. */
import type { Finding } from '@autovibe/contract'
import { grantLine, grantsOf, neededPrivileges, type PlaceGrant } from '../client/privileges.ts'
import { failed, listed, looked, ok, warning } from './findings.ts'
import type { Site } from './site.ts'

/** The findings, and whether the token is taken at all. */
export async function probeToken(site: Site): Promise<{ findings: readonly Finding[]; taken: boolean }> {
  const { config, client, signal } = site
  const id = config.token_id
  let taken = false
  const findings = await looked('token', id, signal, async () => {
    await client.call('GET /access/permissions', { path: '/' }, { signal })
    taken = true
    const grants = grantsOf({ pool: config.pool, storages: [config.storage], bridges: [config.bridge], archive: config.archive })
    const each = await Promise.all(grants.map((grant) => probeGrant(site, grant)))
    return [...each.flat(), ...(await probeBeyond(site))]
  })
  return { findings, taken }
}

async function held({ client, signal }: Site, path: string): Promise<Set<string>> {
  const answer = await client.call('GET /access/permissions', { path }, { signal })
  return new Set(Object.keys(answer[path] ?? {}))
}

async function probeGrant(site: Site, grant: PlaceGrant): Promise<Finding[]> {
  const id = site.config.token_id
  const needed = neededPrivileges()[grant.place]
  const has = await held(site, grant.path)
  const missing = needed.filter((privilege) => !has.has(privilege))
  if (missing.length === 0) return [ok('token', grant.path, `${id} has ${listed(needed, 20)}`)]
  if (missing.length === needed.length) {
    // A separated token may do what both it and its user may.
    const lines = [grantLine(grant, id.split('!')[0] ?? id), grantLine(grant, id)]
    return missing.map((privilege) => failed('token', grant.path, `${id} has not ${privilege}.`, lines.join(' && ')))
  }
  return missing.map((privilege) =>
    failed('token', grant.path, `${id} has not ${privilege}.`, `pveum role modify ${grant.role} --privs ${privilege} --append 1`),
  )
}

/** On all VMs it needs nothing: what it has there it could use against those of others. */
async function probeBeyond(site: Site): Promise<Finding[]> {
  const [user, token] = site.config.token_id.split('!')
  const beyond = [...(await held(site, '/vms'))].filter((privilege) => privilege.startsWith('VM.')).sort()
  if (beyond.length === 0) return []
  const detail = `${site.config.token_id} has ${listed(beyond, 4)} on all VMs, those of others too; its pool ${site.config.pool} would be enough.`
  return [
    warning('token', '/vms', detail, `Give it the lines of "autovibe substrate grants ${site.name}" alone: pveum user token permissions ${user} ${token}`),
  ]
}
