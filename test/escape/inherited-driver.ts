/** A Hub's process that was started with a folder open as descriptor 37: tells as JSON what a child of it, and what a machine of it, reads there. */
import { spawnSync } from 'node:child_process'
import { Stage } from './stage.ts'

const script = 'cat /proc/self/fd/37/secret || exit 1'
const child = spawnSync('sh', ['-c', script], { encoding: 'utf8' })
const stage = await Stage.open()
try {
  const machine = await stage.inside(script)
  process.stdout.write(JSON.stringify({ child: { code: child.status, said: child.stdout }, machine }))
} finally {
  await stage.close()
}
