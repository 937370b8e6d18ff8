/** Ends a test run in which nothing ends any more, and says which files it waited for: a process that turns in circles hears no timer of its own. */
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { descendants } from '../packages/hub/substrates/local/processes.ts'
import { end, orNull } from './host-processes.ts'

/** Beyond the time that a single test has, which it is failed after. */
const GRACE_MS = 120_000

/** The same events, watched within node's test runner; nothing ends a run whose tests may take as long as they like. */
export async function* endingWhenStuck(events: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent, void> {
  const testMs = Number(process.execArgv.find((arg) => arg.startsWith('--test-timeout='))?.split('=')[1] ?? 0)
  const watch = testMs > 0 ? setTimeout(endAll, testMs + GRACE_MS, testMs + GRACE_MS) : undefined
  for await (const event of events) {
    watch?.refresh()
    yield event
  }
  clearTimeout(watch)
}

function endAll(quietMs: number): void {
  const all = descendants(process.pid)
  const files = all.filter(({ parent }) => parent === process.pid).map(({ pid }) => fileOf(pid))
  console.error(`no test ended for ${(quietMs / 60_000).toFixed(1)} minutes; what still ran is ended now: ${files.join(', ') || 'nothing'}`)
  for (const { pid } of all) end(pid)
}

/** A test file is the last argument of its process. */
function fileOf(pid: number): string {
  const words = orNull(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean))
  return relative(process.cwd(), words?.at(-1) ?? String(pid))
}
