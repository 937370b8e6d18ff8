/** What our gateway adds to a model call: the same requests to the same upstream, straight and through the gateway of a real Hub. */
import { type FixedServer, startFixedServer } from '../support/fixed-server.ts'
import { load } from '../support/load.ts'
import { type BenchOptions, difference, type Figure, figure, type Measured } from '../support/report.ts'
import { MODEL, openStage } from '../support/stage.ts'
import { openCallers } from './callers.ts'
import { agentCall, type CallShape, smallCall } from './shapes.ts'

const CONNECTIONS = [1, 16, 64]
const PER_ROUND_MAX = 800

export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  progress('a Hub with machines whose runs wait for their model')
  await using stage = await openStage()
  await using callers = await openCallers(stage)
  const figures: Figure[] = []
  for (const shape of [smallCall, agentCall]) {
    await using upstream = await startFixedServer({ '*': shape.answer })
    await callers.useUpstream(upstream.url)
    for (const connections of CONNECTIONS) {
      progress(`${shape.name}, ${connections} at once`)
      const requests = Math.min(PER_ROUND_MAX, (quick ? 150 : 500) + connections * 5)
      const direct = { to: () => straight(upstream), body: shape.body, connections }
      const through = { to: callers.to, body: shape.body, connections }
      for (const warmUp of [direct, through]) await load({ ...warmUp, requests: 30 + connections })
      figures.push(...compare(shape, connections, await load({ ...direct, requests }), await load({ ...through, requests })))
    }
  }
  return {
    figures,
    targets: [],
    notes: [
      'The upstream answers every call with the same bytes from a thread of its own; the client calls it over TCP, and the gateway over the unix sockets of four machines.',
      `Each call through the gateway is authenticated, bounded, reserved, forwarded, settled and recorded in the database (model ${MODEL}); each lasts until the last byte.`,
      'Client, upstream, Hub and database share the cores of this machine.',
    ],
  }
}

const straight = ({ port }: FixedServer) => ({
  host: '127.0.0.1',
  port,
  path: '/v1/messages',
  headers: { 'content-type': 'application/json', 'x-api-key': 'bench' },
})

type Loaded = Awaited<ReturnType<typeof load>>

function compare({ name, streamed }: CallShape, connections: number, direct: Loaded, through: Loaded): Figure[] {
  const what = `${name}, ${connections} connection${connections === 1 ? '' : 's'}`
  const pick = ({ answers }: Loaded, part: 'ms' | 'firstByteMs') => answers.map((answer) => answer[part])
  const bare = figure(`direct: ${what}`, pick(direct, 'ms'))
  const ours = figure(`gateway: ${what}`, pick(through, 'ms'), { beside: bare })
  const bareRate = figure(`direct, calls a second: ${what}`, [direct.perSecond], { unit: '1/s' })
  const figures = [bare, ours, difference(`added by the gateway: ${what}`, ours, bare)]
  if (streamed) {
    const bareFirst = figure(`direct, first byte: ${what}`, pick(direct, 'firstByteMs'))
    figures.push(bareFirst, figure(`gateway, first byte: ${what}`, pick(through, 'firstByteMs'), { beside: bareFirst }))
  }
  return [...figures, bareRate, figure(`gateway, calls a second: ${what}`, [through.perSecond], { unit: '1/s', beside: bareRate })]
}
