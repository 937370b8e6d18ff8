/** The autovibe command: reads the arguments, and loads only what the chosen command needs. */
import { enableCompileCache } from 'node:module'
import { main } from './program.ts'

enableCompileCache()
// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
await main(process.argv.slice(2))
