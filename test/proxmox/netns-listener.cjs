/**
 * Run inside a guest's network namespace for a moment: opens the listening sockets of what lies beyond and hands them over to the parent, which keeps them.
 * Plain JavaScript, because each start of a guest waits for it.
 */
'use strict'
const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const { createServer, isIPv6 } = require('node:net')
const { networkInterfaces } = require('node:os')

const LOOPBACK_MS = 10_000

/** @param {{ readonly address: string, readonly port: number }[]} places */
async function open(places) {
  // The sandbox brings its loopback up by itself.
  for (const deadline = performance.now() + LOOPBACK_MS; networkInterfaces()['lo'] === undefined; await new Promise((looked) => setTimeout(looked, 1)))
    if (performance.now() > deadline) throw new Error('the loopback of this namespace is down')
  for (const address of new Set(places.map((each) => each.address)))
    if (!/^127\.|^::1$/.test(address)) execFileSync('/sbin/ip', ['address', 'add', `${address}/${isIPv6(address) ? 128 : 32}`, 'dev', 'lo'])
  for (const [index, { address, port }] of places.entries()) {
    const server = createServer().listen({ host: address, port })
    await once(server, 'listening')
    await new Promise((sent) => process.send?.(index, server, {}, sent))
    server.close()
  }
  process.disconnect()
}

void open(JSON.parse(process.argv[2] ?? '[]'))
