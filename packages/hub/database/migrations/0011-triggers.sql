-- When checkpoints are taken by themselves, and when a tree stood still for one.

-- The project's own settings, all of them (contract/triggers.ts); null: the default ones.
alter table projects add column triggers jsonb check (jsonb_typeof(triggers) = 'object');
-- Just before its tree was frozen, which is later than when it was asked for: what came after is not in it. Null for those from before this column, and until it is frozen.
alter table checkpoints add column frozen_at timestamptz;
