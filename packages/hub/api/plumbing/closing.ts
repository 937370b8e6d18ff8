/** How the API ends: waits and streams at once, silent connections too, and whatever else is under way after a grace. */
import type { Socket } from 'node:net'
import type { Api } from './deps.ts'

/** What is cut off after it changed nothing or everything: each change is one transaction. */
const GRACE_MS = 5000

/** Returns the signal that is aborted when the closing begins. */
export function registerClosing(app: Api): AbortSignal {
  const closing = new AbortController()
  // Node closes connections between two requests by itself, but not those that never sent one, which clients open ahead.
  const silent = new Set<Socket>()
  app.server.on('connection', (socket) => {
    silent.add(socket)
    socket.once('close', () => silent.delete(socket))
  })
  app.server.on('request', (request) => silent.delete(request.socket))
  app.server.on('upgrade', (request) => silent.delete(request.socket))

  app.addHook('preClose', async () => {
    closing.abort()
    for (const socket of silent) socket.destroy()
    setTimeout(() => app.server.closeAllConnections(), GRACE_MS).unref()
  })
  // What was in flight when the closing began is answered, and its connection does not wait for another request.
  app.addHook('onSend', async (_request, reply) => {
    if (closing.signal.aborted) reply.header('connection', 'close')
  })
  return closing.signal
}
