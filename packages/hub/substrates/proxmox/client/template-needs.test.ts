import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { descriptionFile, type Method } from '../../../../../test/proxmox/description.ts'
import { neededPrivileges } from './privileges.ts'
import { BUILD_ENDPOINTS, UPLOAD } from './template-endpoints.ts'
import { BUILD_NEEDS, buildLines } from './template-needs.ts'

const file = descriptionFile()
const skip = file === null ? 'Proxmox’s description is not beside this checkout' : false
const SITE = { node: 'pve1', vmid: 9000, imageStorage: 'local', storage: 'thin', bridges: ['vmbr0', 'vmbr1'], pool: 'autovibe' }
const TOKEN = { user: 'autovibe-template@pve', token: 'build' }

test('what is written of the checks of a build’s calls is what Proxmox’s description says', { skip }, () => {
  const methods = JSON.parse(readFileSync(file ?? '', 'utf8')) as Method[]
  for (const [name, { described }] of Object.entries(BUILD_NEEDS)) {
    const method = methods.find((each) => `${each.method} ${each.path}` === name)
    assert.ok(method, `${name} is not described`)
    assert.equal(method.allowtoken, 1, `${name} is not for tokens`)
    if (described === null) assert.deepEqual([method.permissions?.user, method.permissions?.check], ['all', undefined], name)
    else assert.deepEqual(method.permissions?.check, described, name)
  }
})

test('every endpoint that a build alone calls is among its needs', () => {
  for (const name of [...Object.keys(BUILD_ENDPOINTS), UPLOAD]) assert.ok(name in BUILD_NEEDS, name)
})

test('the Hub’s own token is given nothing of what only a build needs', () => {
  const own = Object.values(neededPrivileges()).flat()
  for (const privilege of ['Datastore.Allocate', 'Datastore.AllocateTemplate', 'Sys.AccessNetwork', 'VM.Config.CDROM', 'VM.Config.Cloudinit'])
    assert.ok(!own.includes(privilege), privilege)
})

test('the lines for an administrator before and after a build, as they are typed', (t) => {
  const { lines, remove } = buildLines(SITE, TOKEN)
  t.assert.fileSnapshot(`${[...lines, '', ...remove].join('\n')}\n`, new URL('./pveum-template.golden.txt', import.meta.url).pathname, {
    serializers: [String],
  })
})

test('a name that a shell or pveum would read otherwise is refused', () => {
  for (const wrong of [{ node: 'a b' }, { imageStorage: '$(id)' }, { storage: "a'b" }, { bridges: ['-x'] }, { pool: 'a b' }, { vmid: Number.NaN }])
    assert.throws(() => buildLines({ ...SITE, ...wrong }, TOKEN), { code: 'request.invalid' })
  for (const wrong of [{ user: 'root' }, { token: '-x' }]) assert.throws(() => buildLines(SITE, { ...TOKEN, ...wrong }), { code: 'request.invalid' })
})
