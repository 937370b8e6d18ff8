/** Runs the run's check command in the project, as a person would, and keeps the end of what it printed. */
import type { CheckResult } from '@autovibe/contract'
import type { Paths } from '../adapters/adapter.ts'
import { commandEnvironment, runCommand } from '../process/command.ts'

export const CHECK_LIMITS = { timeoutMs: 10 * 60_000, outputBytes: 8 * 1024 } as const

/** The command's end; exit code null when it ran into the deadline or was ended by a signal. */
export async function runCheck(command: string, paths: Paths, signal: AbortSignal, timeoutMs: number = CHECK_LIMITS.timeoutMs): Promise<CheckResult> {
  const result = await runCommand({
    program: '/bin/sh',
    args: ['-c', command],
    cwd: paths.project,
    env: commandEnvironment(paths.home),
    timeoutMs,
    headBytes: 0,
    // Room for the line that names the deadline.
    tailBytes: CHECK_LIMITS.outputBytes - 256,
    signal,
  })
  const note = result.timedOut ? `\n[ended after ${timeoutMs / 1000} s]` : ''
  const output = (result.output + note).replaceAll('\u0000', '').toWellFormed()
  return { command, exit_code: result.timedOut ? null : result.exitCode, output, duration_ms: result.durationMs }
}
