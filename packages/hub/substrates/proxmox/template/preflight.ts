/** What would be in the way of a build, looked at before anything is changed: privileges, each by name; pool, storages, bridges. */
import { AutovibeError } from '@autovibe/contract'
import { type BuildGrant, buildGrantLine, buildGrants, buildPrivileges } from '../client/template-needs.ts'
import { type Build, grantsCommand, poolFix } from './site.ts'

export async function preflight(build: Build): Promise<void> {
  await assertPrivileges(build)
  await assertPool(build)
  await assertStorages(build)
  await assertBridges(build)
}

async function assertPrivileges({ client, tokenId, plan, signal }: Build): Promise<void> {
  const needed = buildPrivileges()
  const missing: { readonly grant: BuildGrant; readonly privileges: readonly string[] }[] = []
  for (const grant of buildGrants(plan)) {
    const answer = await client.call('GET /access/permissions', { path: grant.path }, { signal })
    const held = new Set(Object.keys(answer[grant.path] ?? {}))
    const privileges = needed[grant.place].filter((privilege) => !held.has(privilege))
    if (privileges.length > 0) missing.push({ grant, privileges })
  }
  const [first] = missing
  if (first === undefined) return
  const user = tokenId.split('!')[0] ?? tokenId
  throw new AutovibeError(
    'substrate.failed',
    `${tokenId} lacks, for the making of a template: ${missing.map(({ grant, privileges }) => `${privileges.join(', ')} on ${grant.path}`).join('; ')}.`,
    {
      fix: `As root on a node: ${missing.map(({ grant }) => buildGrantLine(grant, user)).join(' && ')} (the roles: ${grantsCommand(plan)})`,
      errors: missing.flatMap(({ grant, privileges }) => privileges.map((message) => ({ path: grant.path, message }))),
    },
  )
}

async function assertPool({ client, plan, signal }: Build): Promise<void> {
  const listed = await client.call('GET /pools', {}, { signal })
  if (listed.some(({ poolid }) => poolid === plan.pool)) return
  throw new AutovibeError('substrate.failed', `There is no pool ${plan.pool}, into which the VM of the template goes.`, { fix: poolFix(plan) })
}

/** What a storage takes, by its option `content`. */
const KINDS: Readonly<Record<string, string>> = { import: 'images to import', iso: 'discs', images: 'disks of VMs' }

async function assertStorages({ client, plan, signal }: Build): Promise<void> {
  const { node, imageStorage, storage } = plan
  const listed = await client.call('GET /nodes/{node}/storage', { node }, { signal })
  for (const [name, wanted] of [
    [imageStorage, ['import', 'iso']],
    [storage, ['images']],
  ] as const) {
    const found = listed.find((each) => each.storage === name)
    if (found === undefined)
      throw new AutovibeError('substrate.failed', `There is no storage ${name} on ${node} that the token may see.`, { fix: `On ${node}: pvesm status` })
    const content = found.content.split(',').filter((each) => each !== '')
    const missing = wanted.filter((each) => !content.includes(each))
    if (missing.length > 0)
      throw new AutovibeError('substrate.failed', `The storage ${name} takes no ${missing.map((each) => KINDS[each] ?? each).join(' and no ')}.`, {
        fix: `pvesm set ${name} --content ${[...content, ...missing].join(',')}`,
      })
    if (found.enabled === false || found.active === false)
      throw new AutovibeError('substrate.unavailable', `The storage ${name} is not active on ${node}.`, { fix: `On ${node}: pvesm status --storage ${name}` })
  }
}

async function assertBridges({ client, plan, signal }: Build): Promise<void> {
  const { node, bridges } = plan
  const listed = await client.call('GET /nodes/{node}/network', { node, type: 'any_bridge' }, { signal })
  const missing = bridges.filter((bridge) => !listed.some(({ iface }) => iface === bridge))
  if (missing.length === 0) return
  throw new AutovibeError('substrate.failed', `${node} has no bridge ${missing.join(' and no ')}.`, {
    fix: `--bridge names one that leads to the mirrors of packages; those of ${node}: ${listed.map(({ iface }) => iface).join(', ') || 'none'}`,
  })
}
