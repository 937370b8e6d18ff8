/** The program that the conformance suite runs inside a machine: it asks its Hub for shell scripts, runs them in the tree and sends back what they said. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

const RECONNECT_MS = 20
const env = (name: string): string => process.env[name] ?? ''

function call(method: string, path: string, body: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const headers = { authorization: `Bearer ${readFileSync(env('AUTOVIBE_TOKEN_FILE'), 'utf8')}` }
  const sent = request({ socketPath: env('AUTOVIBE_SOCKET'), method, path, headers }, (answer) => {
    let text = ''
    answer.setEncoding('utf8')
    answer.on('data', (chunk: string) => (text += chunk))
    answer.once('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`status ${answer.statusCode}`))))
    answer.once('error', reject)
  })
  sent.once('error', reject)
  sent.end(body)
  return promise
}

function runScript(script: string): Promise<{ code: number | null; output: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; output: string }>()
  const child = spawn('/bin/sh', ['-c', script], { cwd: env('AUTOVIBE_TREE'), stdio: ['ignore', 'pipe', 'pipe'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.once('error', reject)
  child.once('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString('base64') }))
  return promise
}

for (;;) {
  try {
    const command = JSON.parse(await call('GET', '/command', '')) as { id: number; script: string }
    const result = JSON.stringify({ id: command.id, ...(await runScript(command.script)) })
    await call('POST', '/result', result)
  } catch {
    // The Hub is away; a restarted one makes the socket anew.
    await delay(RECONNECT_MS)
  }
}
