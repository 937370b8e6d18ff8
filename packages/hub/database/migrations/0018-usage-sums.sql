-- Readings of meters are added up by days when they are old: nobody asks for them one by one any more, and there is one of each machine every few minutes for ever.

-- True: it stands for all readings of its machine, run, resource and quality on its day, or for the only one.
alter table usage_events add column summed boolean not null default false;

-- What is still to be added up. What a budget was charged with is not among it: its entry in the ledger names the row. Model calls do not write here, so they pay nothing for it.
create index usage_events_readings on usage_events (machine_id, at) where not summed and reservation_id is null and report_key like 'meter %';
