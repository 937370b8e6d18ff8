-- A peak of memory at its limit is no sign that more was needed, for files just used fill what there is; a process that was ended for memory is one.
alter table run_uses add column memory_refused boolean not null default false;
