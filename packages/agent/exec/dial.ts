/** Dials the Hub for one command, on the machine's own socket. */
import { connect } from 'node:net'
import { EXEC_PROTOCOL, type ExecId } from '@autovibe/contract'
import { WebSocket } from 'ws'

const HANDSHAKE_MS = 10_000
/** The Hub's first frame names the command with all its variables. */
const FRAME_BYTES_MAX = 1024 * 1024

export function dial(socketPath: string, token: string, id: ExecId): WebSocket {
  return new WebSocket(`ws://hub/door/exec/${id}`, [EXEC_PROTOCOL], {
    createConnection: () => connect(socketPath),
    headers: { authorization: `Bearer ${token}` },
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
  })
}
