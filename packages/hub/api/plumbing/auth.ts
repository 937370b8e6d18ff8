/** The first hook of every request: is it addressed to us, who asks, and may they? Nothing else of a request is looked at before. */
import { AutovibeError } from '@autovibe/contract'
import type { FastifyRequest } from 'fastify'
import { findIdentity, type Identity } from '../../security/keys.ts'
import { accessOf, judge } from '../../security/roles.ts'
import type { Api, ApiContext } from './deps.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Null only on public routes asked without a key. */
    identity: Identity | null
  }
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]']

export function registerAuth(app: Api, context: ApiContext): void {
  const hosts = new Set([...LOOPBACK, ...(context.allowedHosts ?? [])].map((host) => host.toLowerCase()))
  app.decorateRequest('identity', null)

  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) {
      if (accessOf(method, route.url) === undefined) throw new Error(`security/roles.ts does not say who may call ${method} ${route.url}`)
    }
  })

  app.addHook('onRequest', async (request) => {
    checkHost(request, hosts)
    // A path that no route has asks for a key too: who has none learns nothing about paths.
    const access = (request.is404 ? undefined : accessOf(request.method, request.routeOptions.url ?? '')) ?? 'user'
    const secret = bearer(request)
    if (secret !== undefined) request.identity = (await findIdentity(context.db, context.runtime, secret)) ?? null
    const verdict = secret !== undefined && request.identity === null ? 'unknown' : judge(access, request.identity?.role)
    if (verdict === 'unknown') {
      throw new AutovibeError('auth.missing', secret === undefined ? 'The request carries no key.' : 'The key is not known to this Hub, or was revoked.', {
        fix: 'Send "Authorization: Bearer avk_…"; the local key is in the file api-key of the data directory.',
      })
    }
    if (verdict === 'forbidden') {
      throw new AutovibeError('auth.forbidden', `The key "${request.identity?.name}" has the role user; this asks for admin.`, { fix: 'Use an admin key.' })
    }
  })
}

/** The identity of a request on a route that is not public. */
export function identityOf(request: FastifyRequest): Identity {
  if (!request.identity) throw new AutovibeError('auth.missing', 'The request carries no key.', { fix: 'Send "Authorization: Bearer avk_…".' })
  return request.identity
}

function bearer(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  if (header === undefined) return undefined
  return /^Bearer +(\S{1,200})$/i.exec(header)?.[1] ?? ''
}

/** A page on another site can make a browser call us by a name of its own that resolves to loopback (DNS rebinding); its Host header tells. */
function checkHost(request: FastifyRequest, hosts: ReadonlySet<string>): void {
  const name = (request.headers.host ?? '').toLowerCase().replace(/:[0-9]{1,5}$/, '')
  if (hosts.has(name)) return
  throw new AutovibeError('auth.forbidden', 'The request is addressed to a host name that this Hub does not answer to.', {
    fix: `Call it by ${[...hosts].join(', ')}.`,
  })
}
