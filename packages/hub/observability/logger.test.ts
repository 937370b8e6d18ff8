/** No secret reaches a line of the log, by whatever way it came in. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from './logger.ts'

function linesOf(log: (logger: ReturnType<typeof createLogger>) => void): string {
  const lines: string[] = []
  log(createLogger({ level: 'debug', destination: { write: (line) => void lines.push(line) } }))
  return lines.join('')
}

const API_KEY = `avk_${'Ab3-_'.repeat(8)}xyz`
const PROVIDER_KEY = 'sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789'

test('members that hold secrets are left out at every depth that is logged', () => {
  const text = linesOf((log) =>
    log.info({ key: 'plain-key-1', provider: { key: 'plain-key-2', headers: { authorization: 'plain-key-3', 'x-api-key': 'plain-key-4' } } }, 'set'),
  )
  assert.doesNotMatch(text, /plain-key/)
  assert.match(text, /\[redacted\]/)
})

test('a secret inside a text, an error or a child is cut down to its prefix', () => {
  const text = linesOf((log) => {
    log.warn(`called with ${API_KEY}`)
    log.error({ err: new Error(`upstream said: bad key ${PROVIDER_KEY}`) }, 'failed')
    log.child({ room: 'api' }).info({ url: `/x?k=${API_KEY}`, header: `Bearer ${'t'.repeat(40)}` }, 'request')
  })
  for (const secret of [API_KEY, PROVIDER_KEY, 't'.repeat(40)]) assert.ok(!text.includes(secret), secret)
  assert.match(text, /avk_\[redacted\]/)
  for (const line of text.trim().split('\n')) assert.doesNotThrow(() => JSON.parse(line))
})
