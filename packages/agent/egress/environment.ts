/** What tools are told of the machine's loopback port: the gateway at it always, and the variables by which most of them find a proxy while the project allows anything. */
import type { Loopback } from './loopback.ts'

let loopback: Pick<Loopback, 'url' | 'key'> | null = null
let isAllowed = false

/** From now on commands and agents that are started are told of this port, as a proxy only when something may be reached through it. */
export function tellOf(port: Pick<Loopback, 'url' | 'key'> | null, mayReach: boolean): void {
  loopback = port
  isAllowed = mayReach
}

/** Of a proxy in both spellings, since tools disagree; those given in `direct` are reached without it, as the machine's own loopback is. */
export function proxyEnvironment(...direct: readonly string[]): Record<string, string> {
  if (!loopback || !isAllowed) return {}
  const url = new URL(loopback.url)
  url.username = 'machine'
  url.password = loopback.key
  const without = ['localhost', '127.0.0.1', '::1', ...direct].join(',')
  return {
    HTTP_PROXY: url.href,
    http_proxy: url.href,
    HTTPS_PROXY: url.href,
    https_proxy: url.href,
    NO_PROXY: without,
    no_proxy: without,
    // Node's own fetch asks for more than the proxy's name.
    NODE_USE_ENV_PROXY: '1',
  }
}

/** Where a tool that cannot speak over a unix socket calls a model, on the budget of the run. */
export function gatewayEnvironment(): Record<string, string> {
  return loopback ? { AUTOVIBE_GATEWAY_URL: `${loopback.url}/gateway`, AUTOVIBE_GATEWAY_KEY: loopback.key } : {}
}
