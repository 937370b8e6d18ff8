/** Runs in a network namespace of its own, with listeners at the addresses that a machine must not reach: tries each from there, then from a machine, and tells as JSON. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { BANNER, NETWORK_ATTEMPTS, PLACES } from './network-attempts.ts'
import { type Ended, Stage } from './stage.ts'

for (const { address, port } of PLACES) {
  await once(createServer((socket) => socket.on('error', () => undefined).end(BANNER)).listen(port, address), 'listening')
  const datagrams = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  datagrams.on('message', (_, from) => datagrams.send(BANNER, from.port, from.address))
  datagrams.bind(port, address)
  await once(datagrams, 'listening')
}
await once(createServer((socket) => socket.on('error', () => undefined).end(BANNER)).listen('\0autovibe-escape'), 'listening')

const stage = await Stage.open()
const results: { outside: Ended; inside: Ended }[] = []
try {
  for (const { script } of NETWORK_ATTEMPTS) results.push({ outside: await stage.onHost(script), inside: await stage.inside(script) })
} finally {
  await stage.close()
}
process.stdout.write(JSON.stringify(results), () => process.exit())
