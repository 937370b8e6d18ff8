/** The disk with our own code as a template has it: the guest, the agent and what they import. It is made anew for each run, since it is what changes. */
import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { diskOfFolder } from './image.ts'

const CHECKOUT = resolve(import.meta.dirname, '../../..')
const OURS = ['packages/guest', 'packages/contract', 'packages/core', 'package.json']
const THEIRS = ['zod', '@autovibe/contract', '@autovibe/core']
const PLACE = '/opt/autovibe'

/** Node's own removal of types takes some ten seconds of an emulated processor; these are gone already. */
const PLAIN = `
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
registerHooks({
  load: (url, context, next) =>
    url.endsWith('.ts') ? { format: 'module', shortCircuit: true, source: readFileSync(fileURLToPath(url)) } : next(url, context),
})
`
const NODE = ['/usr/local/bin/node', '--import', `${PLACE}/plain.mjs`]

/** `agent`: the file of the checkout that the guest starts as the agent, which imports nothing but Node's own. */
export async function codeDisk(folder: string, agent: string): Promise<string> {
  const agentPath = relative(CHECKOUT, resolve(CHECKOUT, agent))
  const [content, image] = [join(folder, 'code'), join(folder, 'code.raw')]
  for (const path of [...OURS, agentPath, ...THEIRS.map((name) => `node_modules/${name}`)]) {
    await mkdir(dirname(join(content, path)), { recursive: true })
    // Links between the packages stay what they are: they lead to their neighbours here as well.
    await cp(join(CHECKOUT, path), join(content, path), { recursive: true, verbatimSymlinks: true, filter: (from) => !from.endsWith('.test.ts') })
  }
  for (const path of await readdir(join(content, 'packages'), { recursive: true })) if (path.endsWith('.ts')) await rewrite(join(content, 'packages', path))
  await writeFile(join(content, 'plain.mjs'), PLAIN)
  const start = [...NODE, `${PLACE}/packages/guest/main.ts`].join(' ')
  await writeFile(join(content, 'guest'), `#!/bin/sh\nexec ${start} --agent-command '${JSON.stringify([...NODE, `${PLACE}/${agentPath}`])}' 2>/dev/console\n`)
  await chmod(join(content, 'guest'), 0o755)
  await diskOfFolder(content, image, '64M')
  return image
}

const rewrite = async (file: string): Promise<void> => writeFile(file, stripTypeScriptTypes(await readFile(file, 'utf8')))
