/** What egress needs of a network, and the host's own: names are asked of the DNS alone, and connections go to addresses, never to names. */
import { Resolver } from 'node:dns/promises'
import { connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Address, parseAddress } from '@autovibe/core/egress/address.ts'
import { LIMITS } from './limits.ts'

export interface Network {
  /** Every address of a name, as the DNS says it; none when there is no such name. Rejects when nobody answers. */
  resolve(name: string, signal: AbortSignal): Promise<readonly string[]>
  /** A connection to exactly this address; rejects with the system's error, or the signal's reason. */
  connect(address: Address, port: number, signal: AbortSignal): Promise<Socket>
  /** The addresses of the Hub's host itself, canonical. */
  ownAddresses(): ReadonlySet<string>
}

/** The network of the Hub's host; `servers` are asked instead of those that it is set up with. */
export function hostNetwork(servers?: readonly string[]): Network {
  return {
    async resolve(name, signal) {
      // Made anew each time: one that is kept goes on with the servers of the time when it was made.
      const resolver = new Resolver({ timeout: LIMITS.resolveMs / 2, tries: 2 })
      if (servers) resolver.setServers([...servers])
      const cancel = (): void => resolver.cancel()
      signal.addEventListener('abort', cancel, { once: true })
      try {
        const answers = await Promise.all([known(resolver.resolve4(name)), known(resolver.resolve6(name))])
        const failure = answers.find((answer) => answer instanceof Error)
        const addresses = answers.flatMap((answer) => (answer instanceof Error ? [] : answer))
        // Half an answer is an answer: each address that is used has been looked at.
        if (failure && addresses.length === 0) throw failure
        return addresses
      } finally {
        signal.removeEventListener('abort', cancel)
      }
    },

    connect(address, port, signal) {
      return new Promise((resolve, reject) => {
        const socket = connect({ host: address.text, port, family: address.family, allowHalfOpen: true, noDelay: true })
        const end = (error: unknown): void => {
          signal.removeEventListener('abort', abort)
          socket.destroy()
          reject(error)
        }
        const abort = (): void => end(signal.reason)
        socket.once('error', end)
        socket.once('connect', () => {
          signal.removeEventListener('abort', abort)
          socket.off('error', end)
          // How it ends is told by its close.
          socket.on('error', () => undefined)
          resolve(socket)
        })
        signal.addEventListener('abort', abort, { once: true })
        if (signal.aborted) abort()
      })
    },

    ownAddresses() {
      const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
      return new Set(addresses.flatMap(({ address }) => parseAddress(address)?.text ?? []))
    },
  }
}

/** That there is nothing of the kind is an answer: none. */
async function known(asked: Promise<string[]>): Promise<string[] | Error> {
  try {
    return await asked
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return 'code' in error && (error.code === 'ENODATA' || error.code === 'ENOTFOUND') ? [] : error
  }
}
