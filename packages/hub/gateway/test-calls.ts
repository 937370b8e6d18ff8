/** What the tests of the gateway ask, what the provider bills for it, and how they read a refusal. */
import assert from 'node:assert/strict'

export const USD = 1_000_000_000n
export const ask = (more: Record<string, unknown> = {}) => ({
  model: 'claude-opus-5-5',
  max_tokens: 1000,
  messages: [{ role: 'user', content: 'hi' }],
  ...more,
})
/** claude-opus-5-5: 4 and 20 dollars for a million tokens of input and output; nano-dollars per token. */
export const INPUT = 4_000n
export const OUTPUT = 20_000n

export interface WireError {
  type: string
  error: { type: string; message: string; autovibe?: { code: string; fix?: string } }
}
export async function refusalOf(response: Response): Promise<{ status: number; type: string; code: string | undefined; retry: string | null }> {
  const body = (await response.json()) as WireError
  assert.equal(body.type, 'error')
  return { status: response.status, type: body.error.type, code: body.error.autovibe?.code, retry: response.headers.get('x-should-retry') }
}
