-- A machine that the end of its Hub has stopped is started again by the next one; a machine that a person has stopped is not.

-- How many more times a Hub may start the machine by itself. Set when a Hub's end stops the machine, counted down with each try, and 0 again once the
-- machine works or a person has it in hand. Counted, so that a machine that cannot start is not tried for ever. It is read with the living machines, of which
-- the sweep reads all; an index of its own would not be used.
alter table machines add column restarts_left smallint not null default 0 check (restarts_left >= 0);
