/** Prints stored events, and those to come; or the log of the Hub's process. */
import { open } from 'node:fs/promises'
import { AutovibeError, type Event, EXIT, type MachineId, type RunId } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { LogsOptions } from '../commands/logs.ts'
import type { Context } from '../context.ts'
import { quote } from '../git/repository.ts'
import { logFile } from '../local/hub-process.ts'
import { renderEvent } from '../render/event.ts'
import { resolveMachine, resolveRun } from '../resolve.ts'
import { canBeId } from '../short-ids.ts'

export const logs: Action<LogsOptions> = async (context, [ref], options) => {
  if (options.hub === true) return hubLog(context, options)
  const client = await context.connect()
  const { out, signal } = context
  const tail = options.tail === undefined ? undefined : lineCount(options.tail)
  const filter: { run?: RunId; machine?: MachineId } =
    ref === undefined
      ? {}
      : canBeId('run', ref)
        ? { run: (await resolveRun(client, ref, { signal })).id }
        : { machine: (await resolveMachine(client, ref, { signal })).id }
  const print = (event: Event) => out.answer(event, [renderEvent(event, out.paint)])
  let after = '0-0'
  const kept: Event[] = []
  for (;;) {
    const page = await client.eventPage({ ...filter, after, limit: 1000 }, { signal })
    for (const event of page.items) {
      if (tail === undefined) print(event)
      else kept.push(event)
      after = event.cursor
    }
    if (tail !== undefined) kept.splice(0, kept.length - tail)
    if (page.next_cursor === null || page.items.length === 0) break
  }
  for (const event of kept) print(event)
  if (options.follow !== true) {
    if (after === '0-0') out.note('No events yet.')
    return 0
  }
  let away = false
  const events = client.events({
    ...filter,
    after,
    signal,
    onConnection: (change) => {
      if (change.state === 'lost' && !away) out.note(`! The Hub went away; reconnecting. (${change.reason})`)
      if (change.state === 'open' && away) out.note('✓ The Hub is back.')
      away = change.state === 'lost'
    },
  })
  for await (const event of events) print(event)
  return EXIT.interrupted
}

function lineCount(text: string): number {
  const lines = Number(text)
  if (Number.isInteger(lines) && lines >= 1 && lines <= 100_000) return lines
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not a number of lines from 1 to 100000.`, { fix: 'autovibe logs --tail 200' })
}

const LARGEST_TAIL = 4 * 1024 * 1024

async function hubLog(context: Context, options: LogsOptions): Promise<number> {
  const tail = lineCount(options.tail ?? '200')
  const path = logFile(context.dataDir)
  if (options.follow === true)
    throw new AutovibeError('request.invalid', 'The log of the Hub is a file, which is shown as it is now.', { fix: `tail -f ${quote(path)}` })
  const file = await open(path, 'r').catch((thrown: NodeJS.ErrnoException) => {
    throw new AutovibeError('not_found', `There is no log of a Hub at ${path} (${thrown.code}).`, { cause: thrown, fix: 'autovibe up' })
  })
  try {
    const { size } = await file.stat()
    const start = Math.max(0, size - LARGEST_TAIL)
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - start), position: start })
    const lines = buffer.subarray(0, bytesRead).toString().trimEnd().split('\n').slice(-tail)
    for (const line of lines) context.out.answer({ line }, [line])
  } finally {
    await file.close()
  }
  return 0
}
