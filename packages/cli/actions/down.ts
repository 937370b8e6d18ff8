/** Stops the Hub; with --purge, removes everything that it kept. */
import { readdir, rm } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { DownOptions } from '../commands/down.ts'
import type { Context } from '../context.ts'
import { findHub, stopHub } from '../local/hub-process.ts'
import { readStopped, type StoppedMachine } from '../local/stopped-file.ts'
import { few, named } from '../render/names.ts'

export const down: Action<DownOptions> = async (context, _args, options) => {
  const { out, dataDir } = context
  const purge = options.purge === true
  // Asked before anything is stopped.
  const present = purge ? await readDataDir(dataDir) : []
  if (present.length > 0 && options.yes !== true) await confirm(context)
  out.live('stopping the Hub')
  const hub = await findHub(dataDir)
  const stopped = await stopHub(dataDir, context.signal)
  out.endLive()
  const machines = hub && stopped ? await readStopped(dataDir, hub.pid) : []
  if (present.length > 0) await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
  out.answer({ data_dir: dataDir, stopped, machines, purged: present.length > 0 }, [
    stopped ? `${out.paint.green('✓')} The Hub has stopped${withIt(machines ?? [])}.` : `No Hub runs on ${dataDir}.`,
    ...(present.length > 0 ? [] : whatComes(machines ?? [])),
    ...(present.length > 0 ? [`${out.paint.green('✓')} ${dataDir} was removed.`] : purge ? [`There is nothing at ${dataDir}.`] : []),
  ])
  return 0
}

const withIt = (machines: readonly StoppedMachine[]): string => (machines.length > 0 ? `, and with it ${named(namesOf(machines), 'machine')}` : '')

/** What becomes of the machines that it stopped. */
function whatComes(machines: readonly StoppedMachine[]): string[] {
  const again = namesOf(machines.filter(({ starts_again }) => starts_again))
  const waiting = namesOf(machines.filter(({ starts_again }) => !starts_again))
  if (machines.length === 0) return []
  if (waiting.length === 0) return [`  autovibe up takes ${again.length === 1 ? 'it' : 'them'} up again.`]
  return [...(again.length > 0 ? [`  autovibe up takes up again: ${few(again)}`] : []), `  Left as it was, for its run was paused already: ${few(waiting)}`]
}

const namesOf = (machines: readonly StoppedMachine[]): string[] => machines.map(({ name }) => name)

/** A mistyped --data-dir must not remove somebody's home: one of these groups is in every data directory from the first start on, and in no other folder. */
const MARKS = [['hub.log'], ['master.key'], ['api-key', 'postgres']]
const OURS = new Set(['postgres', 'api-key', 'hub.log', 'hub.json', 'stopped.json', 'agents', 'sources', 'store', 'machines', 'master.key'])

async function readDataDir(dataDir: string): Promise<string[]> {
  let names: string[]
  try {
    names = await readdir(dataDir)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new AutovibeError('request.invalid', `${dataDir} cannot be read (${(thrown as NodeJS.ErrnoException).code}).`, { cause: thrown })
  }
  if (names.length > 0 && !MARKS.some((group) => group.every((mark) => names.includes(mark)))) {
    throw new AutovibeError(
      'request.invalid',
      `${dataDir} is not a data directory of autovibe (it holds ${names
        .filter((name) => !OURS.has(name))
        .slice(0, 3)
        .join(', ')}); nothing was removed.`,
      { fix: 'Check --data-dir.' },
    )
  }
  return names
}

async function confirm(context: Context): Promise<void> {
  const what = `Remove ${context.dataDir} with all machines, checkpoints, keys and the ledger?`
  if (!context.out.interactive || process.stdin.isTTY !== true)
    throw new AutovibeError('request.invalid', `${what} That cannot be undone, and nobody can be asked here.`, { fix: 'autovibe down --purge --yes' })
  const prompts = await import('@clack/prompts')
  const answer = await prompts.confirm({ message: what, initialValue: false, output: process.stderr })
  if (answer !== true) throw new AutovibeError('operation.cancelled', 'Nothing was stopped or removed.')
}
