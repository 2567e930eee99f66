-- The log of a room in chunks: messages that follow one another and were stored by
-- one commit are one row. What SQLite does for a row costs more than all else that
-- happens to a message, see docs/decisions/0018.

CREATE TABLE chunks (
	id       INTEGER PRIMARY KEY, -- room << 36 | seq of the first message
	messages TEXT NOT NULL        -- JSON: a list of [author, time, nonce, text], one seq after another
);

INSERT INTO chunks (id, messages)
SELECT room_id << 36 | min(seq), json_group_array(json_array(author_id, created_at, nonce, body) ORDER BY seq)
FROM messages GROUP BY room_id, (seq - 1) / 64;

DROP TABLE messages;

CREATE VIEW messages (room_id, seq, author_id, nonce, body, created_at) AS
SELECT c.id >> 36, (c.id & 0xFFFFFFFFF) + m.key, m.value ->> 0, m.value ->> 2, m.value ->> 3, m.value ->> 1
FROM chunks c, json_each(c.messages) m;

-- The nonces of old messages, by who used them: how a post that comes again is
-- known. Those of messages that are newer than rooms.filed are in chunks only.

CREATE TABLE nonces (
	room_id   INTEGER NOT NULL,
	author_id INTEGER NOT NULL,
	first     INTEGER NOT NULL, -- seq of the first message in it
	keys      BLOB NOT NULL,    -- 8 bytes of a hash and 8 of a seq for each message
	PRIMARY KEY (room_id, author_id, first)
) WITHOUT ROWID;

ALTER TABLE rooms ADD COLUMN filed INTEGER NOT NULL DEFAULT 0;
