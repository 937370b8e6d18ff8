/** A fork or a rollback to the middle of a run goes on with the agent's thought as it was there: what the model is told afterwards has all until then and nothing that came later. */
import assert from 'node:assert/strict'
import { homedir } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { type AgentName, Checkpoint, Machine, Run } from '@autovibe/contract'
import { z } from 'zod'
import type { TestCluster } from '../packages/hub/substrates/proxmox/test-cluster.ts'
import type { StorageType } from './proxmox/storages.ts'
import { recordsOf } from './support/command.ts'
import { moveToProxmox } from './support/on-proxmox.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const INSTALL_TIMEOUT_MS = 300_000
const STEPS = ['one', 'two', 'three', 'four'] as const
/** The checkpoint after this many of them is gone back to. */
const KEPT = 2

interface Case {
  readonly agent: AgentName
  /** Null: machines are made on this host. */
  readonly storage: StorageType | null
  /** The tool that runs a command, with what it wants besides. */
  readonly shell: (command: string) => object
}

const builtin = { agent: 'builtin', shell: (command: string) => ({ name: 'shell', input: { command } }) } as const
const claudeCode = { agent: 'claude-code', shell: (command: string) => ({ name: 'Bash', input: { command, description: 'do it' } }) } as const
const CASES: readonly Case[] = [
  { ...builtin, storage: null },
  { ...claudeCode, storage: null },
  // A fork there is a clone of the checkpoint's own snapshot, or a clone of the template with the tree from the store.
  { ...builtin, storage: 'lvmthin' },
  { ...claudeCode, storage: 'zfspool' },
]

/** JSON is YAML. What a tool answers is nowhere in what it was asked: the shell adds up. */
const scriptOf = ({ shell }: Case): string =>
  JSON.stringify({
    conversations: [
      { match: 'Go another way', replies: [{ text: 'Another way it is.' }] },
      {
        match: 'Count to four',
        replies: [
          ...STEPS.map((step, index) => ({
            text: `I say ${step}.`,
            tools: [shell(`echo ${step} >${step}.txt; echo the sum is $((7000 + ${index}))`)],
          })),
          { text: 'I say done.' },
        ],
      },
    ],
  })

const said = (index: number): string => `I say ${STEPS[index]}.`
const answered = (index: number): string => `the sum is ${7000 + index}`

for (const one of CASES)
  describe(one.storage === null ? one.agent : `${one.agent} on Proxmox with ${one.storage}`, () => {
    let scripted: ScriptedPlace
    let cluster: TestCluster | undefined
    let missing: string | null = null
    let middle: Checkpoint
    let run: Run

    before(async () => {
      scripted = await openScriptedPlace({ text: scriptOf(one), name: 'count' })
      missing = await whyNot(one.agent)
      if (missing !== null) return
      if (one.storage !== null) cluster = await moveToProxmox(scripted.place, one.storage)
      const args = ['run', 'Count to four', '--agent', one.agent, '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '20', '--json']
      const { code, stdout, stderr } = await scripted.place.run(args)
      assert.equal(code, 0, `${stdout}\n${stderr}`)
      const closing = z.object({ run: Run, checkpoints: z.array(Checkpoint) }).parse(recordsOf(stdout).at(-1))
      run = closing.run
      const found = closing.checkpoints.find(({ step, trigger }) => step === KEPT && trigger === 'files-changed')
      assert.ok(found, JSON.stringify(closing.checkpoints.map(({ step, trigger }) => `${trigger}@${step}`)))
      middle = found
    })
    after(async () => {
      await scripted.close()
      await cluster?.close()
    })

    test('what the model is told in the run itself grows by each step', (t) => {
      if (missing !== null) return t.skip(missing)
      const last = told(0, 'Count to four').at(-1) ?? ''
      for (const index of STEPS.keys()) assert.ok(last.includes(said(index)) && last.includes(answered(index)), last)
    })

    test('a fork from the middle of the run goes on with what was said and done until then, and no more', async (t) => {
      if (missing !== null) return t.skip(missing)
      const { machine } = await scripted.place.json(z.object({ machine: Machine }), ['fork', middle.id, '--budget', '10'])
      await assertGoesOn(machine.name)
    })

    test('so does the machine itself after a rollback', async (t) => {
      if (missing !== null) return t.skip(missing)
      assert.equal((await scripted.place.run(['rollback', run.machine_name, middle.id])).code, 0)
      await assertGoesOn(run.machine_name)
    })

    async function assertGoesOn(machine: string): Promise<void> {
      const earlier = scripted.model.calls().length
      const { code, stdout, stderr } = await scripted.place.run([
        'run',
        'Go another way',
        '--machine',
        machine,
        '--agent',
        one.agent,
        '--provider',
        'scripted',
        '--budget',
        '5',
      ])
      assert.equal(code, 0, `${stdout}\n${stderr}`)
      const all = told(earlier, 'Go another way')
      assert.ok(all.length > 0, 'the model was called')
      for (const messages of all) {
        assert.ok(messages.includes('Count to four'), messages)
        const order = ['Count to four', said(0), answered(0), said(1), answered(1), 'Go another way'].map((text) => messages.indexOf(text))
        assert.ok(!order.includes(-1), messages)
        assert.deepEqual(
          order.toSorted((a, b) => a - b),
          order,
          'in the order in which it happened',
        )
        for (const index of [2, 3])
          for (const text of [said(index), answered(index), `${STEPS[index]}.txt`]) assert.ok(!messages.includes(text), `${text} came later`)
        assert.ok(!messages.includes('I say done.'))
      }
      const files = await scripted.place.run(['exec', machine, '--', 'sh', '-c', 'echo *.txt'])
      assert.equal(files.stdout.trim(), 'one.txt two.txt', files.stderr)
    }

    /** The messages of every call since then that holds this prompt, as text. */
    function told(since: number, prompt: string): string[] {
      const calls = scripted.model.calls().slice(since)
      const bodies = calls.map(({ body }) => JSON.stringify((body as { messages?: unknown } | null)?.messages ?? null))
      return bodies.filter((text) => text.includes(prompt))
    }

    async function whyNot(agent: AgentName): Promise<string | null> {
      if (agent === 'builtin') return null
      const { code, stderr } = await scripted.place.run(['agent', 'install', agent], {
        // The cache and the settings of npm are the user's own; a registry that cannot be reached is asked once.
        env: { HOME: homedir(), npm_config_fetch_retries: '0' },
        timeoutMs: INSTALL_TIMEOUT_MS,
      })
      return code === 0 ? null : `${agent} cannot be installed here: ${stderr.trim().slice(0, 500)}`
    }
  })
