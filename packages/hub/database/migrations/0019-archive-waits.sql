-- Archives that fail are shown until somebody has seen to it, and wait for the locks of others.

-- What to do about the reason.
alter table machine_archives add column fix text;

-- Of the tasks that ended without a copy, those that only met a lock: waited for by time, not by number.
alter table proxmox_archives add column locked_tasks integer not null default 0;
