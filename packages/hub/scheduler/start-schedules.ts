/** Everything that the Hub does by itself from time to time, begun once and ended in turn. */
import type { Room } from '@autovibe/core/limits/verdict.ts'
import type { Suspicions } from '@autovibe/core/reconcile/plan.ts'
import { SUM_UP_EVERY_MS, sumUpReadings } from '../metering/sum-up.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import type { Ports } from '../operations/ports.ts'
import type { Requests } from '../operations/requests.ts'
import { ARCHIVES_LOOK_EVERY_MS, lookAtArchives } from './archive-looks.ts'
import { type Disks, LOOK_EVERY_MS, lookAtMachines } from './meter.ts'
import { resumeInNewPeriods } from './new-periods.ts'
import { AUDIT_LOOK_EVERY_MS, nightlyAudit } from './nightly-audit.ts'
import { applyRetention, RETENTION_LOOK_EVERY_MS } from './retention.ts'
import { every, type Schedule } from './schedule.ts'
import { careForStore, STORE_LOOK_EVERY_MS } from './store-care.ts'
import { sweep } from './sweep.ts'

const SWEEP_EVERY_MS = 5_000

export interface ScheduleDeps {
  readonly ports: Ports
  readonly requests: Requests
  readonly log: EngineLog
  /** What is left on the disk of the machines. */
  readonly room: () => Promise<Room>
}

export interface Schedules {
  /** Whatever starts machines by itself. */
  readonly sweep: Schedule
  /** All the rest, by the names that the log knows them under. */
  readonly others: readonly (readonly [string, Schedule])[]
}

export function startSchedules({ ports, requests, log, room }: ScheduleDeps): Schedules {
  let suspicions: Suspicions = new Map()
  let disks: Disks = new Map()
  const ends = new AbortController()
  const caring = every(STORE_LOOK_EVERY_MS, 'store', log, careForStore({ ...ports, log, signal: ends.signal }))
  const summing = every(SUM_UP_EVERY_MS, 'usage sums', log, async () => {
    const summed = await sumUpReadings(ports.db, ports.runtime.now().getTime(), ends.signal)
    if (summed.readings > 0) log.info(summed, 'old readings of meters were added up')
  })
  const broughtToEnd = (schedule: Schedule): Schedule => ({
    stop: () => {
      ends.abort()
      return schedule.stop()
    },
  })
  return {
    sweep: every(SWEEP_EVERY_MS, 'sweep', log, async () => {
      suspicions = (await sweep(ports, log, suspicions)).suspicions
      await resumeInNewPeriods(ports.db, requests)
    }),
    others: [
      [
        'the meter',
        every(LOOK_EVERY_MS, 'meter', log, async () => {
          disks = await lookAtMachines({ ...ports, log, room }, disks)
        }),
      ],
      ['the looks at archives', every(ARCHIVES_LOOK_EVERY_MS, 'archives', log, () => lookAtArchives(ports, log))],
      ['retention', every(RETENTION_LOOK_EVERY_MS, 'retention', log, () => applyRetention(ports, log))],
      ['the audits', every(AUDIT_LOOK_EVERY_MS, 'ledger audit', log, nightlyAudit(ports, log))],
      ['the sums of usage', broughtToEnd(summing)],
      ['the care for the store', broughtToEnd(caring)],
    ],
  }
}
