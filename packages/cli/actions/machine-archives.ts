/** Takes, lists and removes archives, Proxmox's own copies of whole machines. */
import { AutovibeError, type MachineArchive } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { renderArchives } from '../render/archives.ts'
import { resolveMachine } from '../resolve.ts'
import { canBeId, wholeId } from '../short-ids.ts'
import { awaitOperation } from './operation.ts'

/** Newest first. */
const LISTED_MAX = 1000

export const machineArchive: Action<unknown> = async (context, [ref = '']) => {
  const client = await context.connect()
  const { out, signal } = context
  const machine = await resolveMachine(client, ref, { signal })
  const { archive: asked, operation_id } = await client.archives.create(machine.id, { signal })
  await awaitOperation(context, client, operation_id, `copying ${machine.name} to ${asked.storage}`)
  const archive = await client.archives.get(asked.id, { signal })
  const verified = archive.verification === 'none' ? '' : ' The server has not read it back yet.'
  out.answer({ archive, operation_id }, [`${out.paint.green('✓')} ${machine.name} was copied: ${archive.volume ?? archive.id}.${verified}`])
  out.next([`autovibe machine archives ${machine.name}`])
  return 0
}

export const machineArchives: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const { out, signal } = context
  const machine = ref === undefined ? undefined : await machineIdOf(client, ref, context)
  const archives = await client.archives.list(machine === undefined ? {} : { machine }, { signal }).take(LISTED_MAX)
  out.answer({ archives }, renderArchives(archives, Date.now(), out.paint))
  const failed = archives.find(({ state }) => state === 'failed')
  if (failed) out.next([`autovibe machine archive ${failed.machine_name}`, `autovibe machine remove-archive ${failed.id}`])
  return 0
}

/** Also of one that is destroyed, by its id. */
async function machineIdOf(client: Autovibe, ref: string, { signal }: Context): Promise<MachineArchive['machine_id']> {
  if (canBeId('machine', ref)) return (await client.machines.get(await wholeId(client, ref, { signal }), { signal })).id
  return (await resolveMachine(client, ref, { signal })).id
}

export const machineRemoveArchive: Action<unknown> = async (context, [ref = '']) => {
  if (!canBeId('machineArchive', ref))
    throw new AutovibeError('request.invalid', `${JSON.stringify(ref)} is not the id of an archive.`, { fix: 'autovibe machine archives' })
  const client = await context.connect()
  const { out, signal } = context
  const id = await wholeId(client, ref, { signal })
  const { operation_id } = await client.archives.remove(id, { signal })
  await awaitOperation(context, client, operation_id, 'removing the archive')
  out.answer({ archive: await client.archives.get(id, { signal }), operation_id }, [`${out.paint.green('✓')} The archive was removed.`])
  return 0
}
