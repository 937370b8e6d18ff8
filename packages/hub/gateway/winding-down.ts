/** The refusal by which an agent learns that its work is wound down: it is to close it now, and may call for that. */
import { AutovibeError } from '@autovibe/contract'

export class WindingDown extends AutovibeError {
  constructor(refusal: AutovibeError) {
    super(refusal.code, refusal.message, refusal.fix === undefined ? {} : { fix: refusal.fix })
  }
}
