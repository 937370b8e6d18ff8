/** The Hub's host in a network namespace of its own: something on its loopback, the proxy with the host's network, and bare attempts that show what would be reached without it. */
import { lookup, Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import { pino } from 'pino'
import { type DatabaseAddress, openDatabase } from '../../database/database.ts'
import { createDoorListener } from '../../door/listener.ts'
import { createLedger } from '../../ledger/create-ledger.ts'
import { systemRuntime } from '../../runtime.ts'
import { createEgress } from '../egress.ts'
import { hostNetwork } from '../network.ts'

export type Order =
  | { readonly kind: 'listen'; readonly machineId: `mch_${string}`; readonly socketPath: string }
  /** Connects to whatever the system makes of this host; a name is asked of the name server, so many times before. */
  | { readonly kind: 'bare'; readonly host: string; readonly asks?: number }
  | { readonly kind: 'end' }

const [addressText = '{}', nameServer = ''] = process.argv.slice(2)
const address = JSON.parse(addressText) as DatabaseAddress
const runtime = systemRuntime
const own = createServer((_req, res) => void res.writeHead(200, { connection: 'close' }).end('secret of the Hub'))
own.listen(80, '::')
await once(own, 'listening')
const database = openDatabase(address, { max: 5, onError: () => undefined })
const ledger = createLedger({ ...database, runtime })
const egress = createEgress({ db: database.db, address, ledger, runtime, logger: pino({ level: 'silent' }), network: hostNetwork([nameServer]) })
const listener = createDoorListener((_machine, _request, response) => void response.writeHead(404).end(), {
  connect: (machineId, request, socket, head) => void egress.handle(machineId, request, socket, head),
})

async function obey(order: Order): Promise<string> {
  if (order.kind === 'listen') {
    await listener.listen(order.machineId, order.socketPath)
    return 'listens'
  }
  if (order.kind === 'bare') return bare(order.host, order.asks ?? 0)
  await listener.closeAll()
  await egress.close()
  await database.close()
  process.exit(0)
}

async function bare(host: string, asks: number): Promise<string> {
  let to = host
  const resolver = new Resolver()
  resolver.setServers([nameServer])
  for (let i = 0; i < asks; i++) to = (await Promise.any([resolver.resolve4(host), resolver.resolve6(host)]))[0] ?? ''
  // Whatever the system reads into it: 2130706433 and 0x7f.1 are addresses to it.
  if (asks === 0) to = (await lookup(host)).address
  const [response] = (await once(get({ host: to, port: 80, path: '/', agent: false }), 'response')) as [AsyncIterable<Buffer>]
  let text = ''
  for await (const piece of response) text += piece
  return text
}

process.on('message', (order: Order) => {
  obey(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.(`failed: ${String(error)}`),
  )
})
process.once('disconnect', () => process.exit(0))
process.send?.('ready')
