-- The time of a room's newest entry, so that listing rooms reads no messages.

ALTER TABLE rooms ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;

UPDATE rooms SET last_at = coalesce(
	(SELECT created_at FROM messages WHERE room_id = rooms.id AND seq = rooms.last_seq), 0);

CREATE INDEX rooms_by_talk ON rooms (last_at);
