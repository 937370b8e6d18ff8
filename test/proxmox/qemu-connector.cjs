/** Started by QEMU for each connection that a guest makes to a place beyond: joins its standard input and output to the unix socket of that place. */
'use strict'
const { connect } = require('node:net')

const socket = connect({ path: process.argv[2] ?? '', allowHalfOpen: true })
socket.on('error', () => process.exit(1))
socket.on('close', () => process.exit(0))
process.stdin.on('error', () => process.exit(0)).pipe(socket)
socket.pipe(process.stdout)
