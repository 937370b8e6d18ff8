/** The most memory that a process ever had, as the kernel keeps it (VmHWM). */
import { readFileSync } from 'node:fs'
import { type CommandOptions, timed } from './command.ts'

const LOOK_EVERY_MS = 5

/** In MiB; null when the process has ended. */
export function peakMiBOf(pid: number | 'self'): number | null {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return null
    throw error
  }
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return kib === undefined ? null : Number(kib) / 1024
}

/** Runs the command to its end; its peak is looked at every few ms, so that what came after the last look is missed. */
export async function timedWithPeak(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<{ ms: number; peakMiB: number; stdout: string }> {
  let peakMiB = 0
  let timer: NodeJS.Timeout | undefined
  try {
    const started = (pid: number) => {
      timer = setInterval(() => {
        peakMiB = Math.max(peakMiB, peakMiBOf(pid) ?? 0)
      }, LOOK_EVERY_MS)
    }
    return { ...(await timed(command, args, { ...options, started })), peakMiB }
  } finally {
    clearInterval(timer)
  }
}
