/** What every wire says in an error of the gateway: whose words they are, and what to do. */
import type { AutovibeError } from '@autovibe/contract'
import { WindingDown } from '../winding-down.ts'

/** The message with its fix, and both apart for whoever knows the gateway. */
export function wordsOf(error: AutovibeError): { message: string; autovibe: { code: string; fix?: string; policy?: string } } {
  return {
    message: `autovibe: ${error.fix === undefined ? error.message : `${error.message} ${error.fix}`}`,
    autovibe: { code: error.code, ...(error.fix === undefined ? {} : { fix: error.fix }), ...(error instanceof WindingDown ? { policy: 'wind-down' } : {}) },
  }
}
