/** The provider of the race: speaks the Anthropic wire and keeps its own bill, to which a call is added when the work on it begins, whoever is still there at its end. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answer, configOf, tell } from './party.ts'
import { planOf } from './plan.ts'
import { type Bill, type BillSoFar, workOf } from './provider-bill.ts'
import { answerCall, refuse } from './provider-wire.ts'

const { seed } = configOf<{ seed: number }>()
const bills: Bill[] = []
const totals = new Map<string, bigint>()
const underWay = new Map<number, Bill>()

const server = createServer((req, res) => void work(req, res))
server.listen(0, '127.0.0.1', () => tell('listens', `http://127.0.0.1:${(server.address() as AddressInfo).port}`))
answer({
  async soFar(): Promise<BillSoFar> {
    // Connections that have broken by now are noticed first.
    for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate)
    return { totals, underWay }
  },
  bills: () => bills,
})

async function work(req: IncomingMessage, res: ServerResponse): Promise<void> {
  // Whoever leaves is noticed by the missing answer; the bill stands.
  res.on('error', () => undefined)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch {
    // Half a request is none: nothing is begun for it.
    return
  }
  const body = Buffer.concat(chunks)
  const { metadata, max_tokens } = JSON.parse(body.toString()) as { metadata: { user_id: string }; max_tokens: number }
  const [runId = '', number] = metadata.user_id.split(' ')
  const plan = planOf(seed, Number(number))
  if (!plan.billed) return refuse(plan, res)

  const done = workOf(plan, body.length, max_tokens)
  const bill: Bill = { call: Number(number), runId, messageId: `msg_${bills.length}`, nanoUsd: done.nanoUsd, exact: plan.exact, answered: false }
  bills.push(bill)
  totals.set(runId, (totals.get(runId) ?? 0n) + done.nanoUsd)
  underWay.set(bill.call, bill)
  res.once('close', () => underWay.delete(bill.call))
  res.once('finish', () => {
    bill.answered = true
  })
  const end = await answerCall(plan, bill, done, res)
  underWay.delete(bill.call)
  end()
}
