/** A difference as the API answers it, line by line, each of the form that the contract promises. */
import assert from 'node:assert/strict'
import { type DiffDocument, DiffLine } from '@autovibe/contract'
import type { TestApi } from './test-api.ts'

export async function readDiff(api: TestApi, url: string): Promise<DiffDocument> {
  const { status, headers, text } = await api.call('GET', url)
  assert.deepEqual([status, headers['content-type']], [200, 'application/x-ndjson; charset=utf-8'], text)
  const [first, ...others] = text
    .trimEnd()
    .split('\n')
    .map((line) => DiffLine.parse(JSON.parse(line)))
  const last = others.pop()
  assert.ok(first?.type === 'diff' && last?.type === 'end', text)
  const { type: _, ...head } = first
  const { type: _end, ...totals } = last
  return { ...head, files: others.map((line) => (line.type === 'file' ? line : assert.fail(line.type))), totals }
}
