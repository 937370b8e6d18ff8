/** Keeps one link to the Hub open for ever: whoever is the Hub then calls, and this end answers. */
import { once } from 'node:events'
import { performServerHandshake, type ServerHttp2Session } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer } from '../calls/answer.ts'
import { dial } from './dial.ts'
import type { Identities, Identity } from './identity.ts'

export interface KeepLink {
  readonly identities: Identities
  readonly answer: Answer
  readonly log: (message: string, fields?: object) => void
}

const FIRST_WAIT_MS = 50
const MOST_WAIT_MS = 10_000
/** A link that lasted so long was a good one. */
const LASTED_MS = 10_000
const PING_EVERY_MS = 15_000
const SILENT_MOST_MS = 45_000
/** Of what the Hub sends that nobody has read yet; a tree that is planted is large. */
const WINDOW_BYTES = 4 * 1024 * 1024

/** Returns when the signal is aborted. */
export async function keepLink({ identities, answer, log }: KeepLink, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const begunMs = performance.now()
    try {
      if (await linkOnce(await identities.current(signal), answer, signal)) log('the link to the Hub has ended')
      else {
        identities.doubt()
        log('the gate of the Hub does not let this machine in')
      }
    } catch (error) {
      if (!signal.aborted) log('there is no link to the Hub', { reason: error instanceof Error ? error.message : String(error) })
    }
    failures = performance.now() - begunMs > LASTED_MS ? 0 : failures + 1
    const fullMs = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures, 20))
    await delay(fullMs / 2 + (fullMs / 2) * Math.random(), undefined, { signal }).catch(() => undefined)
  }
}

/** False when the gate does not let this machine in; true when the link has ended. */
async function linkOnce(identity: Identity, answer: Answer, signal: AbortSignal): Promise<boolean> {
  const { socket, welcome } = await dial(identity.gate, { wants: 'link', version: 2, token: identity.token, secret: identity.secret }, signal)
  socket.on('error', () => undefined)
  if (welcome.is !== 'linked') {
    socket.destroy()
    return false
  }
  const session = performServerHandshake(socket, { settings: { initialWindowSize: WINDOW_BYTES, enablePush: false } })
  session.setLocalWindowSize(WINDOW_BYTES)
  session.on('error', () => undefined)
  session.on('stream', answer)
  const stopPinging = watch(session)
  const end = (): void => session.destroy()
  signal.addEventListener('abort', end, { once: true })
  try {
    if (!session.destroyed) await once(session, 'close')
    return true
  } finally {
    stopPinging()
    signal.removeEventListener('abort', end)
    socket.destroy()
  }
}

/** A Hub that went without a word sends nothing that would end the connection. */
function watch(session: ServerHttp2Session): () => void {
  let heardMs = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - heardMs > SILENT_MOST_MS) session.destroy()
    else
      session.ping((error) => {
        if (error === null) heardMs = performance.now()
      })
  }, PING_EVERY_MS)
  return () => clearInterval(timer)
}
