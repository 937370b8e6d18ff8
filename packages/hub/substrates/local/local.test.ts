import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conformanceIn, reasonAgainst } from './test-tiers.ts'

const root = process.getuid?.() === 0
const isolation = root ? 'I3' : 'I2'

await conformanceIn({ isolation, copy: 'C3' })
await conformanceIn({ isolation, copy: 'C1' })
await conformanceIn({ isolation: 'I1', copy: 'C1' })
await conformanceIn({ isolation: 'I0', copy: 'C1' })

test('a tier that the host does not offer is refused, never replaced', async () => {
  assert.match((await reasonAgainst({ isolation: root ? 'I2' : 'I3', copy: 'C1' })) ?? '', /This host offers/)
  assert.match((await reasonAgainst({ isolation: 'I0', copy: 'C3' })) ?? '', /not I0 with C3/)
  assert.match((await reasonAgainst({ isolation: 'I1', copy: 'C3' })) ?? '', /not I1 with C3/)
})
