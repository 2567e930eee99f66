-- The log of a room in chunks: messages that follow one another and were stored by
-- one commit are one row. What SQLite does for a row costs more than all else that
-- happens to a message, see docs/decisions/0018.

CREATE TABLE chunks (
	id       INTEGER PRIMARY KEY, -- room << 36 | seq of the first message
	messages TEXT NOT NULL        -- JSON: a list of [author, time, nonce, text], one seq after another
);

-- Where a message is in its chunk says its seq: a log with a hole is not upgraded.

CREATE TABLE holes (rooms_with_messages_missing INTEGER CHECK (rooms_with_messages_missing = 0));

INSERT INTO holes SELECT count(*) FROM rooms r WHERE
	(last_seq, last_seq) <> (SELECT count(*), coalesce(max(seq), 0) FROM messages WHERE room_id = r.id);

DROP TABLE holes;

-- Each chunk is looked up by its first message: to group the whole log by room and
-- place would keep all of it in memory.

INSERT INTO chunks (id, messages)
SELECT first.room_id << 36 | first.seq, (
	SELECT json_group_array(json_array(author_id, created_at, nonce, body) ORDER BY seq)
	FROM messages WHERE room_id = first.room_id AND seq BETWEEN first.seq AND first.seq + 63)
FROM messages first WHERE (first.seq - 1) % 64 = 0;

DROP TABLE messages;

-- json_extract and not ->>, at which a sqlite3 older than 3.38 fails to open the file.

CREATE VIEW messages (room_id, seq, author_id, nonce, body, created_at) AS
SELECT c.id >> 36, (c.id & 0xFFFFFFFFF) + m.key, json_extract(m.value, '$[0]'), json_extract(m.value, '$[2]'),
	json_extract(m.value, '$[3]'), json_extract(m.value, '$[1]')
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
