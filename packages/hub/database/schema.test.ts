/** The schema after all migrations, as the server's own catalogue tells it: a change shows as a change of the golden file. */
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freshDatabase } from './testing.ts'

const database = await freshDatabase()
after(() => database.close())

const lines = async (sql: string): Promise<string[]> => (await database.pool.query<{ line: string }>(sql)).rows.map(({ line }) => line)

test('the migrations lead to the schema of the golden file', async (t) => {
  const columns = await lines(
    `select format('%s.%s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
       case when a.attidentity <> '' then ' identity' else '' end, coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) as line
     from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped order by c.relname, a.attnum`,
  )
  const constraints = await lines(
    `select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as line from pg_constraint where connamespace = 'public'::regnamespace order by 1`,
  )
  const indexes = await lines(`select indexdef as line from pg_indexes where schemaname = 'public' order by 1`)
  const triggers = await lines(`select pg_get_triggerdef(oid) as line from pg_trigger where not tgisinternal order by 1`)
  const text = [...columns, '', ...constraints, '', ...indexes, '', ...triggers, ''].join('\n')
  t.assert.fileSnapshot(text, fileURLToPath(new URL('./schema.golden.txt', import.meta.url)), { serializers: [(value: string) => value] })
})
