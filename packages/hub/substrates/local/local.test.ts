import assert from 'node:assert/strict'
import { test } from 'node:test'
import { substrateConformance } from '../conformance.ts'
import { WarmGround } from './test-ground.ts'
import { conformanceIn, reasonAgainst } from './test-tiers.ts'

const root = process.getuid?.() === 0
const isolation = root ? 'I3' : 'I2'

await conformanceIn({ isolation, copy: 'C3' })
await conformanceIn({ isolation, copy: 'C1' })
// An ordinary user has no groups as a rule, so that the others are without them too.
if (root) await conformanceIn({ isolation, copy: 'C3', groups: 'none' })
await conformanceIn({ isolation: 'I1', copy: 'C1' })
await conformanceIn({ isolation: 'I0', copy: 'C1' })

const noWaiting = await reasonAgainst({ isolation, copy: 'C3' })
if (noWaiting === null) substrateConformance(`local ${isolation}+C3, each start from a machine that waits`, () => WarmGround.make({ isolation, copy: 'C3' }))
else test('starts from machines that wait', { skip: noWaiting }, () => undefined)

test('a tier that the host does not offer is refused, never replaced', async () => {
  assert.match((await reasonAgainst({ isolation: root ? 'I2' : 'I3', copy: 'C1' })) ?? '', /This host offers/)
  assert.match((await reasonAgainst({ isolation: 'I0', copy: 'C3' })) ?? '', /not I0 with C3/)
  assert.match((await reasonAgainst({ isolation: 'I1', copy: 'C3' })) ?? '', /not I1 with C3/)
})
