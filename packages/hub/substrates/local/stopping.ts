/** Stops processes so that none of them moves any more, however they are about to begin others. */
import { readdirSync, readFileSync } from 'node:fs'
import { type Process, parseStat, signalProcess } from './processes.ts'

/**
 * One look at them: whoever moves is stopped and put down in `stopped`; the answer is whoever moved, so the next look is the last when it answers nobody. A process that begins
 * another by vfork(2) stands in the kernel until that one runs its program, and can be stopped only then: so what it begins goes on meanwhile.
 */
export function stopMoving(all: readonly Process[], stopped: Map<number, Process>): Process[] {
  const states = new Map(all.map(({ pid }) => [pid, threadStates(pid)]))
  const moving = all.filter(({ pid }) => !isStill(states.get(pid) ?? ''))
  const waiting = new Set(moving.filter(({ pid }) => states.get(pid)?.includes('D')).map(({ pid }) => pid))
  for (const each of all) {
    const isBeginning = waiting.has(each.parent)
    if (isBeginning && stopped.has(each.pid)) signalProcess(each, 'SIGCONT')
    if (isBeginning || isStill(states.get(each.pid) ?? '')) continue
    stopped.set(each.pid, each)
    signalProcess(each, 'SIGSTOP')
  }
  return moving
}

/** Children first, so that a shell never sees its child as stopped. */
export function continueAll(stopped: ReadonlyMap<number, Process>): void {
  for (const each of [...stopped.values()].reverse()) signalProcess(each, 'SIGCONT')
}

const isStill = (states: string): boolean => /^[TtZX]*$/.test(states)

/** A letter for each thread (proc_pid_stat(5)); none for a process that ended meanwhile, which so stands still. */
function threadStates(pid: number): string {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map((thread) => parseStat(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'))?.state ?? 'X')
      .join('')
  } catch {
    return ''
  }
}
