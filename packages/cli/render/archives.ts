/** Archives for people. */
import type { MachineArchive } from '@autovibe/contract'
import { AUTOVIBE } from '../called.ts'
import type { Paint } from '../output.ts'
import { age, bytes, plain, table } from './text.ts'

export function renderArchives(archives: readonly MachineArchive[], nowMs: number, paint: Paint): string[] {
  if (archives.length === 0) return ['No archives. A copy of a whole machine is made by:', `  ${AUTOVIBE} machine archive MACHINE`]
  const [head = '', ...lines] = table(
    ['ARCHIVE', 'MACHINE', 'STATE', 'VERIFIED', 'SIZE', 'AGE', 'CHECKPOINT', 'VOLUME'],
    archives.map((archive) => [
      archive.id,
      archive.machine_name,
      stateOf(archive),
      verifiedOf(archive),
      archive.size_bytes === null ? '-' : bytes(archive.size_bytes),
      age(archive.created_at, nowMs),
      archive.checkpoint_id,
      archive.volume === null ? '-' : plain(archive.volume),
    ]),
  )
  const damaged = archives.filter(({ verification, missing }) => verification === 'failed' || missing)
  const reasons = archives.flatMap(({ id, state_reason, fix }) => [
    ...(state_reason === null ? [] : [`${id}: ${plain(state_reason)}`]),
    ...(fix === null ? [] : [`  fix: ${plain(fix)}`]),
  ])
  return [
    paint.bold(head),
    ...lines,
    ...(reasons.length === 0 ? [] : ['', ...reasons]),
    ...damaged.map(({ id, missing }) => paint.red(`${id} ${missing ? 'is no longer where it was' : 'is damaged: the backup server could not read it back'}.`)),
  ]
}

const stateOf = ({ state, missing }: MachineArchive): string => (missing && state === 'stored' ? 'missing' : state)

function verifiedOf({ verification }: MachineArchive): string {
  if (verification === null) return '-'
  return { none: 'never', pending: 'not yet', ok: 'ok', failed: 'failed' }[verification]
}
