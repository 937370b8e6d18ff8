/** Started by QEMU for each connection that a guest makes to a place beyond: joins it to the unix socket of that place. Each way ends by itself. */
'use strict'
const { connect, Socket } = require('node:net')

// Standard input and output are one socket, of which process.stdout could not end its own way alone.
const inside = new Socket({ fd: 0, allowHalfOpen: true })
const outside = connect({ path: process.argv[2] ?? '', allowHalfOpen: true })
for (const [one, other] of [
  [inside, outside],
  [outside, inside],
]) {
  one.pipe(other)
  one.on('error', () => undefined)
  one.on('close', (hasFailed) => (hasFailed ? other.destroy() : other.end()))
}
