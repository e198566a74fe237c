-- The audit record of a pepper's last activation: the audit itself may be deleted after a while.
ALTER TABLE peppers ADD COLUMN activated_by INTEGER;

UPDATE peppers SET activated_by = (SELECT max(id) FROM audit WHERE kind = 'pepper_activated') WHERE active = 1;
