/** What `doctor` says of each provider: what it is, whether it has a key, and whether it answers the Hub. */
import { AutovibeError, type Finding, type Provider, type ProviderReach } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'

/** All are tried at once, so that it takes no longer than the slowest. */
export async function providerFindings(client: Autovibe, options: CallOptions): Promise<Finding[]> {
  const providers = await client.providers.list(options).take(1000)
  return Promise.all(
    providers.map(async (provider) => {
      const reach = await client.providers.reach(provider.name, options).catch((thrown: unknown): ProviderReach => {
        if (!(thrown instanceof AutovibeError)) throw thrown
        // One that was removed meanwhile, for instance: the other findings are worth their telling.
        return { answers: false, detail: thrown.message }
      })
      return findingOf(provider, reach)
    }),
  )
}

/** A provider that is not used is no fault of the host, so nothing here is more than a warning. */
export function findingOf({ name, wire, base_url, has_key, simulated }: Provider, reach: ProviderReach): Finding {
  const fix = !has_key
    ? `autovibe provider set ${name}`
    : reach.answers
      ? null
      : simulated
        ? `Start it again, or autovibe provider remove ${name}`
        : `Check the network of this host, or the address: autovibe provider set ${name} --base-url URL`
  return {
    area: 'provider',
    name,
    status: fix === null ? 'ok' : 'warning',
    detail: [
      `${wire} wire`,
      address(base_url),
      has_key ? 'key stored' : 'no key stored',
      simulated ? 'simulated' : '',
      reach.answers ? 'answers' : reach.detail,
    ]
      .filter((part) => part !== '')
      .join(', '),
    fix,
  }
}

/** Without what may be a secret in it. */
function address(text: string): string {
  const { origin, pathname } = new URL(text)
  return `${origin}${pathname === '/' ? '' : pathname}`
}
