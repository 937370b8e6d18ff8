/** Whether something answers where a provider is said to be: one quick try, with the connection that model calls take and without a key. */
import type { ProviderReach } from '@autovibe/contract'
import { Agent, request } from 'undici'

const PATIENCE_MS = 2_000

/** Any answer counts, a refusal too: who asks without a key is refused as a rule. Never throws. */
export async function tryToReach(baseUrl: string, closing: AbortSignal): Promise<ProviderReach> {
  const { host } = new URL(baseUrl)
  // Of its own and not kept: a connection that is old says nothing about now.
  const agent = new Agent({ connect: { timeout: PATIENCE_MS }, allowH2: false })
  try {
    const signal = AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), closing])
    const { body } = await request(baseUrl, { dispatcher: agent, method: 'HEAD', headersTimeout: PATIENCE_MS, signal })
    body.on('error', () => undefined).destroy()
    return { answers: true, detail: `${host} answers` }
  } catch (thrown) {
    return { answers: false, detail: `${host} does not answer (${reasonOf(thrown)})` }
  } finally {
    await agent.destroy()
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up now',
  TimeoutError: 'no answer within 2 s',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within 2 s',
  UND_ERR_HEADERS_TIMEOUT: 'no answer within 2 s',
}

/** A refusal of several addresses of one name is reported as one. */
function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as { code?: unknown }
  const name = typeof code === 'string' ? code : thrown.name
  return REASONS[name] ?? name
}
