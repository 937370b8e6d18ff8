/** `/v1/machines/{machine}/exec`: asks for a command inside a machine; `/v1/exec/{exec}` is the WebSocket on which it is spoken with. */
import { AutovibeError, CreateExec, EXEC_PROTOCOL, EXEC_TICKET_PREFIX, Exec, ExecId, MachineId, Name } from '@autovibe/contract'
import { assertMachineAllows } from '@autovibe/core/machines/transitions.ts'
import { z } from 'zod'
import { Leg } from '../exec/leg.ts'
import type { ExecOrder } from '../exec/record.ts'
import { acceptUpgrade, refuseUpgrade } from '../exec/upgrade.ts'
import { identityOf } from './plumbing/auth.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { translate } from './plumbing/problems.ts'
import { readMachine } from './read/machines.ts'

const tags = ['machines']
const TICKET_BYTES = 24

export function registerExec(app: Api, context: ApiContext): void {
  const { db, execs, runtime } = context

  app.post(
    '/v1/machines/:machine/exec',
    {
      schema: {
        tags,
        operationId: 'createExec',
        summary: 'Ask for a command inside a machine',
        description: 'The command starts when its client has opened the WebSocket of the answer, GET /v1/exec/{exec}, and ends with it.',
        params: z.object({ machine: z.union([MachineId, Name], 'must be the name or the id of a machine') }),
        body: z.strictObject(CreateExec.shape),
        response: { 201: Exec },
      },
    },
    async (request, reply) => {
      const { id: machineId } = await readMachine(db, request.params.machine)
      const place = execs.reserve(machineId)
      try {
        let order: ExecOrder | undefined
        const exec = await change(context, request, reply, { action: 'machine.exec', status: 201 }, async (tx) => {
          const machine = await readMachine(tx, machineId)
          assertMachineAllows(machine, 'exec')
          const [id, ticket] = [runtime.newId('exec'), runtime.randomBytes(TICKET_BYTES).toString('base64url')]
          order = { id, ticket, machine, actor: identityOf(request), request: request.body }
          const expires_at = new Date(runtime.now().getTime() + execs.connectMs).toISOString()
          return { body: { id, machine_id: machineId, ticket, expires_at }, subject: machineId, detail: { exec: id, tty: request.body.tty } }
        })
        // A repeat got the first answer, whose place is taken already.
        if (order?.id === exec.id) place.fill(order)
        return exec
      } finally {
        place.leave()
      }
    },
  )

  app.get(
    '/v1/exec/:exec',
    {
      schema: {
        tags,
        operationId: 'openExec',
        summary: 'Speak with a command (WebSocket)',
        description:
          `A WebSocket with the subprotocols "${EXEC_PROTOCOL}" and "${EXEC_TICKET_PREFIX}TICKET"; the ticket of the answer opens it once, and no key is sent. Binary frames are one byte (0 standard input, ` +
          '1 output, 2 error) and data; at most 262144 bytes of a stream may be under way before a `credit` grants more. Text frames are JSON with a `type`: the client sends stdin_end, resize, signal and credit, ' +
          'and gets started, credit, and last exit or failed.',
        params: z.object({ exec: ExecId }),
        response: { 101: z.null().describe('The WebSocket is open') },
      },
    },
    () => {
      throw new AutovibeError('request.invalid', 'This is spoken with over a WebSocket.', { fix: 'autovibe exec MACHINE -- COMMAND' })
    },
  )

  // Before the server waits for its connections: those of execs end only with them.
  app.addHook('preClose', () => execs.close())
  app.server.on('upgrade', (request, socket, head) => {
    try {
      const [, id] = /^\/v1\/exec\/([a-z0-9_]{1,60})$/.exec(request.url ?? '') ?? []
      if (id === undefined) throw new AutovibeError('not_found', 'There is no WebSocket here.', { fix: 'GET /v1/openapi.json describes every path.' })
      // The ticket proves more than a key would: it was given to whoever asked for just this command.
      const exec = execs.forClient(id, ticketOf(request.headers['sec-websocket-protocol']))
      acceptUpgrade(request, socket, head, (webSocket) => exec.joinClient(new Leg(webSocket)))
    } catch (thrown) {
      refuseUpgrade(socket, translate(thrown))
    }
  })
}

function ticketOf(offered: string | undefined): string {
  const ticket = (offered ?? '')
    .split(',')
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith(EXEC_TICKET_PREFIX))
  return ticket?.slice(EXEC_TICKET_PREFIX.length) ?? ''
}
