/** A reporter of node's test runner that says at the end which files took the longest, so that whoever waits knows for what. */
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'
import { endingWhenStuck } from './stuck.ts'

const SHOWN = 12
const SHORT_MS = 1_000

export default async function* slowest(events: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  const tookMs = new Map<string, number>()
  for await (const { type, data } of endingWhenStuck(events)) {
    if ((type !== 'test:pass' && type !== 'test:fail') || data.nesting !== 0 || data.file === undefined) continue
    tookMs.set(data.file, (tookMs.get(data.file) ?? 0) + data.details.duration_ms)
  }
  const shown = [...tookMs].filter(([, ms]) => ms >= SHORT_MS).sort(([, one], [, other]) => other - one)
  if (shown.length < 2) return
  yield `\nthe slowest of ${tookMs.size} files:\n`
  for (const [file, ms] of shown.slice(0, SHOWN)) yield `${(ms / 1000).toFixed(1).padStart(7)} s  ${relative(process.cwd(), file)}\n`
}
