/** Hears what is notified on a channel of the database, and says so when something may have been missed. */
import pg from 'pg'
import type { DatabaseAddress } from './database.ts'
import { type KeptConnection, keepConnection } from './kept-connection.ts'

export interface ListenerOptions {
  /** How the server names the connection. */
  readonly name: string
  /** Called with each payload, and with '' whenever listening begins (again): what was sent before was not heard, so anything may have changed. */
  readonly onNotify: (payload: string) => void
  /** Told of each loss and each failed try. */
  readonly onError: (error: Error) => void
}

/** Listens until it is closed; `ready` resolves when it first does. */
export function openListener(address: DatabaseAddress, channel: string, options: ListenerOptions): KeptConnection {
  return keepConnection(address, {
    name: options.name,
    setUp: async (client) => {
      client.on('notification', ({ payload }) => options.onNotify(payload ?? ''))
      await client.query(`listen ${pg.escapeIdentifier(channel)}`)
    },
    onReady: () => options.onNotify(''),
    onError: options.onError,
  })
}
