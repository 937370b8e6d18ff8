/** The Hub itself: health, what the host offers, providers, API keys. */
import type { ApiKey, CreateApiKey, CreatedApiKey, Health, HubInfo, InstalledAgent, Provider, ProviderReach, PutProvider } from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'

export class Hub {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Asked once, without retries: it is what others use to find out. */
  health(options?: CallOptions): Promise<Health> {
    return this.#transport.json('GET', '/health', { ...options, attempts: 1 })
  }

  info(options?: CallOptions): Promise<HubInfo> {
    return this.#transport.json('GET', '/hub', options)
  }

  /** The agent tools, installed or not. */
  agents(options?: CallOptions): List<InstalledAgent> {
    return list(this.#transport, '/agents', {}, options)
  }

  /** Has the Hub install an agent tool, which may take as long as a download of some hundred megabytes; one that is there is no error. */
  installAgent(name: string, options?: CallOptions): Promise<InstalledAgent> {
    return this.#transport.json('POST', `/agents/${encodeURIComponent(name)}/install`, { ...options, body: {} })
  }
}

export class Providers {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(options?: CallOptions): List<Provider> {
    return list(this.#transport, '/providers', {}, options)
  }

  put(name: string, provider: PutProvider, options?: CallOptions): Promise<Provider> {
    return this.#transport.json('PUT', `/providers/${encodeURIComponent(name)}`, { ...options, body: provider })
  }

  /** Has the Hub try once, for two seconds at most and without a key, whether its API answers. */
  reach(name: string, options?: CallOptions): Promise<ProviderReach> {
    return this.#transport.json('GET', `/providers/${encodeURIComponent(name)}/reach`, options)
  }

  /** Forgets it and its key; `conflict.state` while a run that has not ended calls it. The answer is what it was. */
  remove(name: string, options?: CallOptions): Promise<Provider> {
    return this.#transport.json('DELETE', `/providers/${encodeURIComponent(name)}`, options)
  }
}

export class Keys {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The secret is in the answer and nowhere else. */
  create(key: CreateApiKey, options?: CallOptions): Promise<CreatedApiKey> {
    return this.#transport.json('POST', '/api-keys', { ...options, body: key })
  }

  list(options?: CallOptions): List<ApiKey> {
    return list(this.#transport, '/api-keys', {}, options)
  }

  /** Answers once nobody can use the key any more. */
  revoke(id: string, options?: CallOptions): Promise<ApiKey> {
    return this.#transport.json('DELETE', `/api-keys/${encodeURIComponent(id)}`, options)
  }
}
