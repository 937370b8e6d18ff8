-- Which checkpoints stay.

-- A person's word: it stays, whatever the rules say.
alter table checkpoints add column pinned boolean not null default false;
-- The project's own rules, all four of them (contract/retention.ts); null: the default ones.
alter table projects add column retention jsonb check (jsonb_typeof(retention) = 'object');
