-- When checkpoints are taken by themselves.

-- The project's own settings, all of them (contract/triggers.ts); null: the default ones.
alter table projects add column triggers jsonb check (jsonb_typeof(triggers) = 'object');
