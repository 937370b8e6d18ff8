/** Shows what changed between two checkpoints, while the Hub makes it: as a patch that `git apply` takes too, as a list, or as a document. */
import { AutovibeError, type DiffQuery, type DiffTotals, PATCH_BROKEN_OFF } from '@autovibe/contract'
import type { Autovibe, Diff } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { DiffOptions } from '../commands/diff.ts'
import type { Context } from '../context.ts'
import { walkDiff } from '../diffs.ts'
import { renderFile, renderLeftOut, renderStat, renderStatus, renderTotals } from '../render/diff.ts'
import { resolveCheckpoint } from '../resolve.ts'

export const diff: Action<DiffOptions> = async (context, [first, second], options) => {
  if (options.stat === true && options.nameStatus === true)
    throw new AutovibeError('request.invalid', '--stat and --name-status are two forms of one list.', { fix: 'Name one of them.' })
  const client = await context.connect()
  const { out, signal } = context
  const [from, to] = second === undefined ? [undefined, first] : [first, second]
  const find = async (ref: string | undefined): Promise<string> => {
    const { checkpoint, chosen } = await resolveCheckpoint(client, ref, { signal })
    if (chosen !== null) out.note(chosen)
    return checkpoint.id
  }
  const against = from === undefined ? undefined : await find(from)
  const id = await find(to)
  const query = { against: against as DiffQuery['against'], renames: options.renames }
  const isList = options.stat === true || options.nameStatus === true
  if (!out.json && !isList && process.stdout.isTTY !== true) {
    if (!(await copyPatch(context, client, id, query))) out.note(`Nothing changed up to ${id}.`)
    return 0
  }
  const detail = options.nameStatus === true ? 'names' : options.stat === true ? 'lines' : out.json ? 'whole' : 'text'
  const made = await client.checkpoints.diff(id, { ...query, detail }, { signal })
  const totals = out.json ? await writeDocument(context, made) : await writeFiles(context, made, options)
  if (totals.files + totals.ignored === 0) out.note(`Nothing changed between ${made.against_id} and ${made.checkpoint_id}.`)
  if (totals.files > 0 && out.interactive && against === undefined) {
    out.note('')
    out.next([`autovibe apply ${id}`, `autovibe apply ${id} --branch NAME`])
  }
  return 0
}

/** As the Hub sends it, byte for byte; whether there was anything. A patch that breaks off is made one that git refuses. */
async function copyPatch({ out, signal }: Context, client: Autovibe, id: string, query: Partial<DiffQuery>): Promise<boolean> {
  let isEmpty = true
  try {
    for await (const chunk of await client.checkpoints.patch(id, query, { signal })) {
      isEmpty = false
      await out.piece(chunk)
    }
  } catch (thrown) {
    if (!isEmpty) await out.piece(PATCH_BROKEN_OFF)
    if (signal.aborted || thrown instanceof AutovibeError) throw thrown
    throw new AutovibeError('hub.unreachable', 'The Hub broke off the difference before its end.', { cause: thrown, fix: 'Try again; autovibe doctor' })
  }
  return !isEmpty
}

/** One document, written piece by piece. */
async function writeDocument({ out }: Context, diff: Diff): Promise<DiffTotals> {
  const { files: _, ...head } = diff
  await out.piece(`${JSON.stringify(head).slice(0, -1)},"files":[`)
  let separator = ''
  const totals = await walkDiff(diff, async (file) => {
    await out.piece(separator + JSON.stringify(file))
    separator = ','
  })
  await out.piece(`],"totals":${JSON.stringify(totals)}}\n`)
  return totals
}

async function writeFiles({ out }: Context, diff: Diff, { stat, nameStatus }: DiffOptions): Promise<DiffTotals> {
  const { paint } = out
  const totals = await walkDiff(diff, async (file) => {
    if (file.ignored) return
    const lines = nameStatus === true ? [renderStatus(file)] : stat === true ? [renderStat(file, paint)] : renderFile(file, paint)
    await out.piece(`${lines.join('\n')}\n`)
  })
  if (nameStatus !== true) out.lines([...(stat === true && totals.files > 0 ? [renderTotals(totals, paint)] : []), ...renderLeftOut(totals, paint)])
  return totals
}
