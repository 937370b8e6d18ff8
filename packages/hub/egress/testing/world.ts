/** The world outside in a network namespace of its own: a name server, and on every address that it was given an HTTP server that says where it was reached. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type Names, serveNames } from './dns.ts'

const [names = '{}', nameServer = ''] = process.argv.slice(2)
const web = createServer((req, res) => {
  if (req.url === '/redirect') return void res.writeHead(302, { location: 'http://169.254.169.254/' }).end()
  res.writeHead(200, { connection: 'close' }).end(`secret of ${req.socket.localAddress}`)
})
web.listen(80, '::')
await once(web, 'listening')
const udp = createSocket('udp4')
serveNames(udp, JSON.parse(names) as Names)
udp.bind(53, nameServer)
await once(udp, 'listening')
process.send?.('ready')
process.once('disconnect', () => process.exit(0))
