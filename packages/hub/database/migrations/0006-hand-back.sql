-- What happens to a run at its limit is the policy of its budget. One that is wound down has an amount set aside for handing its work back.

alter table runs
  -- What was asked for when the run was; null takes what the project's budget and the share say.
  add column on_limit         text check (on_limit in ('park', 'finish-step', 'wind-down')),
  add column hand_back        bigint check (hand_back >= 0),
  -- Since when its calls are paid from what is set aside, until there is money again.
  add column winding_down_at  timestamptz;

-- What is set aside is a reservation that the run owns. There are few, and the ledger looks for them whenever it reads a chain afresh.
create index reservations_hand_back on reservations (holder) where state = 'open' and holder like 'hand-back %';

-- The gateway charges a run that is wound down elsewhere.
drop trigger callers_notify on runs;
create trigger callers_notify after insert or update of state, ended_at, budget_id, provider, winding_down_at on runs
  for each row execute function notify_callers('machine_id');
